"""The views by their path, and the heading that each begins with."""

VIEWS = {
    "": "Start",
    "data": "Data",
    "models": "Models",
    "plan": "Plan",
    "compare": "Compare",
    "delivery": "Delivery",
    "campaign": "After the campaign",
    "audiences": "Audiences",
}
