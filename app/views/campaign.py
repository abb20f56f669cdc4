"""After the campaign: promised against delivered against expected, and what the campaign added."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from app import services
from app.ui import audience_charts, charts, messages, tables
from app.ui.tables import Column
from app.views import choosing, frame, mapping, waiting

COLUMNS = ("user_id", "item_id", "timestamp", "event_type", "outcome")
"""Roles of columns that matter for results."""
ANSWERS = 20
"""Words of an outcome column that are listed."""
WORDS = {
    "word": Column("In the file"),
    "read": Column("Is read as", help="yes counts once, no does not; rejected rows are left out"),
    "rows": Column("Rows", "count"),
}
WAYS = {"file": "Results of a campaign", "history": "Dry run"}


def page() -> None:
    """Import results on the first tab, look at kept ones on the second."""
    messages.title(
        "After the campaign", "What was promised, delivered and expected, and what writing to people really added."
    )
    fresh, kept = st.tabs(
        [":material/upload_file: Import results", ":material/inventory: Kept campaigns"], key="campaign-tabs"
    )
    with fresh, messages.guard(services.Problem, "measure the campaign"):
        scenario = choosing.saved_plan(
            "Results are compared with a saved plan: set your promises, save a plan and export its audience.",
            ":material/campaign:",
            delivered=True,
        )
        if scenario is not None:
            _import(scenario)
    with kept, messages.guard(services.Problem, "show the kept campaigns"):
        _kept()


def _import(scenario: services.Scenario) -> None:
    sent = services.sent_audiences(scenario)
    left, right = st.columns(2, gap="large")
    with left:
        chosen = st.selectbox(
            "Audience that was sent",
            list(sent),
            format_func=lambda k: sent[k][0],
            key=f"campaign-audience-{scenario.id}",
            help="Exported files with the rules they were made under; the hold-out group is found again from its seed.",
        )
        recipe = sent[chosen][1]
        if not recipe.rules.holdout:
            st.caption(
                ":material/info: Nobody was held out of this audience, so the effect cannot be measured. "
                "Set a hold-out group under Audiences before you export."
            )
    with right:
        way = st.segmented_control(
            "What happened", list(WAYS), format_func=WAYS.__getitem__, default="file", required=True,
            key="campaign-way",
            help="The dry run takes what really happened in the test window, where nobody was written to: a lift whose "
            "interval leaves zero out would be a false alarm.",
        )  # fmt: skip
        named = _uploads() if way == "file" else []
    files = _files(named) if named else []
    if way == "file" and not files:
        return
    request = services.CampaignRequest(recipe, tuple(files))
    key = services.request_results(request, waiting.wish("campaign"))
    found: services.CampaignResult | None = waiting.result(key, "measure the campaign")
    if found is None:
        return
    st.divider()
    _keep(request, found, way == "history")
    show_result(found, services.item_titles(scenario.id, recipe.part), "fresh", dry=way == "history")


def _uploads() -> list[tuple[str, str]]:
    """Names and paths of the files of results."""
    uploads = st.file_uploader(
        "Exposures and outcomes (CSV or Parquet)", type=["csv", "parquet", "gz"], accept_multiple_files=True,
        key="campaign-upload",
        help="One row an event: user, item, time and event type. Exposures and outcomes may be in one file or in two. "
        "Or one row an exposure, with a column that says whether anything came of it: yes or no. What the campaign "
        "added can be told where outcomes of held-out users are there too: a row without any exposure.",
    )  # fmt: skip
    typed = st.text_input("or a path on this machine", key="campaign-path", placeholder="/data/results.csv").strip()
    st.download_button(
        "Download a template", services.template(), file_name="campaign-results.csv", mime="text/csv",
        on_click="ignore", icon=":material/description:", key="campaign-template",
        help="User 1 was shown an item and responded. User 2 was held out, was shown nothing, and responded all the "
        "same: a row with the outcome, and no exposure.",
    )  # fmt: skip
    named = [(u.name, services.keep_upload(u.name, u.file_id, u)) for u in uploads or []]
    if typed:
        named.append((typed.rsplit("/", 1)[-1], typed))
    if not named:
        messages.empty(
            "No results yet",
            "Upload what your campaign tool reports: who was shown what and when, and who responded.",
            icon=":material/upload_file:",
        )
    return named


def _files(named: list[tuple[str, str]]) -> list[services.ResultFile]:
    """Files with the roles of their event types; those of which something is missing are left out."""
    found = [_roles(name, path) for name, path in named]
    good = [f for f in found if f is not None]
    left = [messages.plain(name) for (name, _), f in zip(named, found, strict=True) if f is None]
    if good and left:
        st.caption(f":material/info: Measured without {', '.join(left)}, which cannot be used yet.")
    return good


def _roles(name: str, path: str) -> services.ResultFile | None:
    """Which event types of a file are exposures and which outcomes."""
    with messages.guard(services.Problem, "read the file"):
        layout = _layout(name, path)
        if layout is None:
            return None
        try:
            held = services.contents(path, *layout)
        except services.NothingUsable as error:
            messages.problem(messages.plain(str(error)).replace("\n", "  \n"))
            _rejected(services.rejected_rows(error.rejects_file), path)
            return None
        text = f"{messages.count(held.rows, 'rows')}, {messages.count(len(held.rejects))} rejected"
        with st.expander(
            f"{messages.plain(name)}: {text}",
            icon=":material/warning:" if len(held.rejects) else ":material/check_circle:",
            expanded=bool(len(held.rejects)),
        ):
            st.text(held.reasons)
            _rejected(held.rejects, path)
        if held.answers is None:
            shown, came = _types(held, path)
        else:
            shown, came = _answered(held, path, dict(layout[0])), []
        if shown or came:
            return services.ResultFile(path, name, tuple(shown), tuple(came), *layout)
        st.info("Say which event types are exposures and which are outcomes.", icon=":material/arrow_upward:")
    return None


def _types(held: services.FileContents, path: str) -> tuple[list[str], list[str]]:
    """Event types that are exposures, and those that are outcomes."""
    shown = _exposures(held, path)
    rest = [t for t in held.types if t not in shown]
    came = st.multiselect(
        "Outcomes", rest, [t for t in held.outcomes if t in rest], format_func=lambda t: f"{t} ({held.types[t]:,})",
        key=f"came-{path}",
    )  # fmt: skip
    return shown, came


def _exposures(held: services.FileContents, path: str) -> list[str]:
    return st.multiselect(
        "Exposures", list(held.types), held.exposures, format_func=lambda t: f"{t} ({held.types[t]:,})",
        key=f"shown-{path}",
    )  # fmt: skip


def _answered(held: services.FileContents, path: str, columns: dict[str, str]) -> list[str]:
    """How the outcome column is read; which rows are exposures: all of them, unless they have types."""
    words = held.answers
    if words is not None:
        st.markdown(f"**How “{messages.plain(columns['outcome'])}” is read**")
        more = len(words) - ANSWERS
        tables.show(words.head(ANSWERS), WORDS, f"answers-{path}", rows=6)
        if more > 0:
            st.caption(f"… and {messages.count(more)} more. Is this the column that says yes or no?")
    if "event_type" in columns:
        return _exposures(held, path)
    st.caption(
        "Every row is an exposure. Where some are not (those of a control group, say), choose the column that tells "
        "them apart as “Event type”."
    )
    return held.exposures


def _rejected(rows: pd.DataFrame, path: str) -> None:
    """Which rows were rejected and why, and the same as a file."""
    if rows.empty:
        return
    columns = {
        "line": Column("Line", "count", "In the file, the heading is line 1"),
        "reason": Column("Why"),
        "text": Column("What it says"),
    }
    tables.paged(rows, columns, f"rejects-{path}")
    st.download_button(
        "Download the rejected rows", lambda: rows.to_csv(index=False).encode(), file_name="rejected-rows.csv",
        mime="text/csv", on_click="ignore", icon=":material/download:", key=f"rejects-file-{path}",
    )  # fmt: skip


def _layout(name: str, path: str) -> tuple[tuple[tuple[str, str], ...], services.Writing] | None:
    """What the columns of a file mean and how they are written; None as long as that is asked."""
    key = f"campaign-{path}"
    preview, problem = None, ""
    try:
        preview = services.preview(path, mapping.encoding_of(key))
    except services.Problem as error:
        problem = services.in_words(str(error))
    asked = preview is None or bool(preview.missing) or preview.time_format is None
    label = f"How {messages.plain(name)} is written: columns, encoding, times"
    with st.expander(label, icon=":material/view_column:", expanded=asked):
        writing = mapping.writing(key, values=False)
        if preview is None:
            messages.problem(messages.plain(problem))
            return None
        found = mapping.columns(preview, "campaign", path, roles=COLUMNS, across=3)
    return None if found is None else (tuple(found.items()), writing)


def _keep(request: services.CampaignRequest, found: services.CampaignResult, dry: bool) -> None:
    name, button = st.columns([3, 1], vertical_alignment="bottom")
    first = "Dry run" if dry else (request.files[0].name.rsplit(".", 1)[0] if request.files else "Campaign")
    text = name.text_input("Name of this campaign", first, key=f"campaign-name-{first}")
    if button.button("Keep the figures", key="campaign-keep", icon=":material/save:", type="primary", width="stretch"):
        kept = services.keep_campaign(text.strip() or first, request, found)
        st.toast(f"**{messages.plain(kept.name)}** is kept.", icon=":material/check:")


# -- a measured campaign --------------------------------------------------------------------------------------


def show_result(found: services.CampaignResult, titles: dict[str, Any], where: str, *, dry: bool) -> None:
    """The figures of a campaign, whether just measured or kept (``where`` tells their widgets apart)."""
    items = found.items.assign(title=found.items["item_id"].map(titles).fillna(found.items["item_id"]))
    _headline(found, items)
    _warnings(found)
    st.subheader("What the campaign added", anchor=False)
    if found.lift is None:
        st.info(found.no_lift, icon=":material/science:")
    else:
        _lift(found.lift, where, dry)
    st.subheader("Promised, delivered, expected", anchor=False)
    if items["expected"].notna().any():
        charts.show(
            audience_charts.expected_outcomes(items), f"campaign-expected-{where}", "Outcomes against what was expected"
        )
    columns = {
        "title": Column("Item"),
        "item_id": Column("Id"),
        "verdict": Column("Promise"),
        "promised": Column("Promised", "count", "Visitors, at least"),
        "planned": Column("Planned", "count", "Deliveries of the audience"),
        "withheld": Column("Held out", "count", "Deliveries that the hold-out group did not get"),
        "delivered": Column("Delivered", "count", "Planned deliveries that were made"),
        "expected": Column("Expected", "decimal", "Interactions, of what was delivered"),
        "outcomes": Column("Happened", "count", "Interactions, of what was delivered"),
    }
    order = items.assign(by=items["verdict"].map({"short": 0}).fillna(1)).sort_values(
        ["by", "delivered"], kind="stable"
    )
    tables.paged(order, columns, f"campaign-items-{where}", search=("title", "item_id"))
    if len(found.over_time) > 1:
        st.subheader("Day by day", anchor=False)
        charts.show(audience_charts.days(found.over_time), f"campaign-days-{where}", "Exposures and outcomes by day")
        days = {
            "day": Column("Day", "time"),
            "exposures": Column("Exposures", "count"),
            "outcomes": Column("Outcomes", "count"),
        }
        tables.beside(found.over_time, days, f"campaign-days-table-{where}")


def _headline(found: services.CampaignResult, items: pd.DataFrame) -> None:
    promised = items[items["promised"].fillna(0) > 0]
    delivered, planned = int(items["delivered"].sum()), int(items["planned"].sum())
    expected = items["expected"].sum(min_count=1)
    cells = st.columns(4)
    kept = int((promised["verdict"] == "kept").sum())
    cells[0].metric(
        "Promises kept", f"{messages.count(kept)} of {messages.count(len(promised))}" if len(promised) else "none made",
        "of this plan", delta_color="off", delta_arrow="off", border=True,
        help="Items delivered to at least as many visitors as promised.",
    )  # fmt: skip
    cells[1].metric(
        "Delivered", messages.count(delivered), f"{messages.percent(delivered / max(1, planned))} of planned",
        delta_color="off", delta_arrow="off", border=True, help="Deliveries of the audience that the file confirms.",
    )  # fmt: skip
    cells[2].metric("Expected", messages.decimal(expected), "interactions", delta_color="off", delta_arrow="off",
                    border=True, help="Of what was delivered, by the model.")  # fmt: skip
    happened = int(items["outcomes"].sum())
    ratio = (
        f"{messages.percent(happened / expected, 0)} of expected"
        if expected and expected > 0
        else "of what was delivered"
    )
    cells[3].metric("Happened", messages.count(happened), ratio, delta_color="off", delta_arrow="off", border=True,
                    help="Outcomes of what was delivered.")  # fmt: skip


def _warnings(found: services.CampaignResult) -> None:
    if found.contaminated:
        st.warning(
            f"{messages.count(found.contaminated, 'held-out users were')} shown something all the same, and still "
            "counted as held out: this makes the measured lift smaller than the true one.",
            icon=":material/warning:",
        )
    outside = found.outside_exposures
    if outside:
        st.caption(
            f":material/info: {messages.count(outside)} of {messages.count(found.exposures, 'exposures are')} of users "
            "or items outside this audience; they are left out."
        )


def _lift(lift: services.Lift, where: str, dry: bool) -> None:
    level = messages.percent(lift.confidence, 0)
    left, right = st.columns([3, 2], gap="large")
    with left:
        frame_of = pd.DataFrame(
            {
                "group": ["written to", "held out"],
                "mean": [lift.treated_mean, lift.held_out_mean],
                "half": [lift.treated_half, lift.held_out_half],
            }
        )
        charts.show(
            audience_charts.groups(frame_of), f"lift-groups-{where}", "Outcomes per user of both groups with intervals"
        )
        users = pd.DataFrame(
            {
                "group": frame_of["group"],
                "users": [lift.treated, lift.held_out],
                "outcomes": [lift.treated_outcomes, lift.held_out_outcomes],
                "mean": frame_of["mean"],
            }
        )
        columns = {
            "group": Column("Group"),
            "users": Column("Users", "count"),
            "outcomes": Column("Outcomes", "count", "On what was planned for them"),
            "mean": Column("Per user", "decimal"),
        }
        tables.show(users, columns, f"lift-table-{where}", rows=2)
    with right:
        relative = messages.percent(lift.relative) if lift.relative is not None else "cannot be told"
        interval = (
            f"{level} interval: {messages.percent(lift.relative_low)} to {messages.percent(lift.relative_high)}"
            if lift.relative_low is not None
            else "too few held-out outcomes for an interval"
        )
        st.metric("Lift", relative, interval, delta_color="off", delta_arrow="off", border=True,
                  help="Outcomes per user, written to against held out. Everybody counts, reached or not.")  # fmt: skip
        st.metric(
            "Outcomes added", messages.short(lift.incremental),
            f"{level} interval: {messages.short(lift.incremental_low)} to {messages.short(lift.incremental_high)}",
            delta_color="off", delta_arrow="off", border=True,
        )  # fmt: skip
    _verdict(lift, dry)


def _verdict(lift: services.Lift, dry: bool) -> None:
    """What the interval allows to say."""
    if lift.few:
        st.info("A group has fewer than ten outcomes: these figures say little yet.", icon=":material/hourglass_empty:")
    elif dry and not lift.conclusive:
        st.success("As it must be: nobody was written to, and the interval holds zero.", icon=":material/check_circle:")
    elif dry:
        st.warning(
            "Nobody was written to, yet the interval leaves zero out. One dry run in twenty does by chance; try "
            "another seed of the hold-out.",
            icon=":material/warning:",
        )
    elif lift.low > 0:
        st.success("The campaign added outcomes: the interval lies above zero.", icon=":material/trending_up:")
    elif lift.high < 0:
        st.warning("Those written to responded less than those held out.", icon=":material/trending_down:")
    else:
        st.info(
            "No effect can be told from chance: the interval holds zero. More users held out narrow it.",
            icon=":material/balance:",
        )


# -- kept campaigns -------------------------------------------------------------------------------------------


def _kept() -> None:
    info = frame.dataset()
    found = {c.id: c for c in services.campaigns(info)} if info is not None else {}
    if not found:
        messages.empty(
            "No campaign kept yet", "Import results and keep their figures: they are listed here.",
            icon=":material/inventory:",
        )  # fmt: skip
        return
    pick, drop = st.columns([4, 1], vertical_alignment="bottom")
    chosen = pick.selectbox(
        "Campaign", list(found), format_func=lambda i: f"{found[i].name} · {messages.ago(found[i].created_at)}",
        key="campaign-kept",
    )  # fmt: skip
    if drop.button("Remove", key="campaign-remove", icon=":material/delete:", width="stretch"):
        services.forget_campaign(chosen)
        st.rerun()
    record = found[chosen]
    with st.container(key="campaign-kept-result"):
        titles = services.item_titles(record.scenario_id, record.part)
        show_result(services.kept_result(record), titles, "kept", dry="dry_run" in record.source)


page()
