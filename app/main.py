"""Navigation of the dashboard: `streamlit run app/main.py`."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app.views import frame

# A file of our own: symbols and emoji as icons are fetched from elsewhere.
st.set_page_config(
    page_title="RIM", page_icon=str(Path(__file__).parent / "ui" / "icon.svg"), layout="wide", initial_sidebar_state=240
)

page = st.navigation(
    [
        st.Page("views/start.py", title="Start", icon=":material/home:", default=True),
        st.Page("views/data.py", title="Data", icon=":material/database:"),
        st.Page("views/models.py", title=frame.MODELS, icon=":material/model_training:"),
        st.Page("views/plan.py", title="Plan", icon=":material/tune:"),
        st.Page("views/compare.py", title="Compare", icon=":material/compare_arrows:"),
        st.Page("views/delivery.py", title="Delivery", icon=":material/local_shipping:"),
        st.Page("views/campaign.py", title="After the campaign", icon=":material/campaign:"),
        st.Page("views/audiences.py", title="Audiences", icon=":material/groups:"),
    ]
)
if frame.ready(page.title):
    page.run()
