"""How good scores and assignments are: rankings, relevance, perplexity, delivery, the comparison, campaigns."""

from rim_core.evaluation.campaign import CampaignResult, campaign_events, campaign_result, guess_roles
from rim_core.evaluation.comparison import compare
from rim_core.evaluation.delivery import (
    Arrivals,
    DeliveryCourse,
    arrivals,
    delivery_course,
    load_distribution,
)
from rim_core.evaluation.lift import Lift, measure_lift
from rim_core.evaluation.metrics import Evaluation, evaluate, perplexity
from rim_core.evaluation.ranking import item_rec, user_rec

__all__ = [
    "Arrivals",
    "CampaignResult",
    "DeliveryCourse",
    "Evaluation",
    "Lift",
    "arrivals",
    "campaign_events",
    "campaign_result",
    "compare",
    "delivery_course",
    "evaluate",
    "guess_roles",
    "item_rec",
    "load_distribution",
    "measure_lift",
    "perplexity",
    "user_rec",
]
