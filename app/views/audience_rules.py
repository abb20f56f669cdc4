"""The rules of an audience: who is left out, how often one is written to, how small a list may be."""

from __future__ import annotations

import streamlit as st

from app import services
from app.ui import messages
from app.views import address

NO_LIST = ""
NAMED = 5
"""Unknown ids that are named."""


def rules_of(scenario: services.Scenario) -> services.AudienceRules | None:
    """The controls, and the rules they stand for, kept in the address.

    None while their list is not here, and until it was read that the address asked for something that is not.
    """
    _follow_link()
    if "rule-added" in st.session_state:  # before the label says that there are no rules
        st.session_state["rule-suppression"] = st.session_state.pop("rule-added")
    with st.expander(_label(), icon=":material/rule:", key="audience-rules", expanded=_set()):
        left, middle, right = st.columns(3, gap="large")
        with left:
            suppression = _suppression(scenario)
        with middle:
            holdout = st.slider(
                "Hold-out group", 0, 50, format="%d %%", key="rule-holdout", persist_state="session",
                help="Users who are written to by nobody, so that the effect of the campaign can be measured. "
                "Drawn by a hash of the user id and the seed: the same users in every file.",
            )  # fmt: skip
            seed = st.number_input("Seed of the hold-out", 0, 10**9, key="rule-seed", persist_state="session")
        with right:
            cap = _limit(
                "At most, items a user", 1000, "rule-cap",
                "Frequency cap over all times a user is planned for; her best deliveries stay.",
            )  # fmt: skip
            most = _limit("At most, deliveries an item", 10**9, "rule-most", "The best of every item stay.")
            least = _limit(
                "At least, users an item", 10**9, "rule-least",
                "Items with fewer users are dropped: small lists say too much about each, and tools refuse them.",
            )  # fmt: skip
    rules = services.AudienceRules(
        suppression=suppression or None,
        holdout=holdout / 100,
        holdout_seed=int(seed) if holdout else 0,
        max_per_user=cap,
        max_size=most,
        min_size=least or 0,
    )
    address.write(address.RULES, services.rules_token(rules))
    return None if address.missed() or (suppression and _missing(suppression)) else rules


def _follow_link() -> None:
    """Put the rules that the address says into the controls, once."""
    token = address.asked(address.RULES, "rules")
    if token is None:
        return
    try:
        rules = services.rules_of_token(token)
    except services.Problem as error:
        address.say(messages.plain(str(error)))
        return
    st.session_state.update(
        {
            "rule-suppression": rules.suppression or NO_LIST,
            "rule-holdout": round(100 * rules.holdout),
            "rule-seed": rules.holdout_seed,
            "rule-cap": rules.max_per_user,
            "rule-most": rules.max_size,
            "rule-least": rules.min_size or None,
        }
    )


def _missing(suppression: str) -> bool:
    """Whether a list is not here, and that on the page: a file without it would reach those who are on it."""
    lists = services.suppression_lists(suppression)
    if suppression in {s.id for s in lists}:
        return False
    here = ", ".join(messages.plain(s.name) for s in lists) or "none yet"
    st.error(
        f"The list of users who are never written to ({messages.plain(suppression)}) is not in this workspace: no file "
        f"is made without it. Here is: {here}. Choose a list, add it again, or choose that nobody is suppressed.",
        icon=":material/person_off:",
    )
    return True


def _limit(label: str, most: int, key: str, explanation: str) -> int | None:
    """A limit of at least one; an empty field is none."""
    return st.number_input(
        label, 1, most, None, step=1, placeholder="no limit", key=key, persist_state="session", help=explanation
    )


def _set() -> bool:
    """Whether any rule is in force."""
    keys = ("rule-suppression", "rule-holdout", "rule-cap", "rule-most", "rule-least")
    return any(st.session_state.get(key) for key in keys)


def _label() -> str:
    return "Who is written to, and how often" + ("" if _set() else " (no rules: everybody the plan reaches)")


def _suppression(scenario: services.Scenario) -> str:
    """Which list of users gets nothing; one that is uploaded is chosen at once."""
    kept = st.session_state.get("rule-suppression") or NO_LIST
    lists = {s.id: s for s in services.suppression_lists(kept)}
    latest = {s.name: s.id for s in reversed(lists.values())}

    def label(i: str) -> str:
        if i not in lists:
            return f"a list that is not here ({i})" if i else "nobody is suppressed"
        older = "" if latest[lists[i].name] == i else ", an older one"
        return f"{lists[i].name} ({messages.count(lists[i].users, 'users')}{older})"

    chosen: str = st.selectbox(
        "Never write to",
        list(dict.fromkeys([NO_LIST, *lists, kept])),
        format_func=label,
        key="rule-suppression",
        persist_state="session",
        help="Users who opted out, complained, or must not be reached.",
    )
    if chosen in lists and latest[lists[chosen].name] != chosen:
        st.warning("A newer list of this name is here: choose it, unless you mean the older one.")
    listed = services.suppressed_users(scenario, chosen) if chosen else None
    if listed is not None:
        _say_known(listed, "this list")
    file = st.file_uploader(
        "Add a list", type=["csv", "txt"], key="rule-upload",
        help="One user id a line, or a table with a column of them.",
    )  # fmt: skip
    if file is not None:
        with messages.guard(services.Problem, "read the list"):
            _add(scenario, file.file_id, file.name, file.getvalue())
    return chosen


def _add(scenario: services.Scenario, file_id: str, name: str, content: bytes) -> None:
    """Keep an uploaded list and choose it, unless nobody on it is known here."""
    columns = services.uploaded_users(scenario, content)
    column = max(columns, key=lambda c: columns[c].known)
    if len(columns) > 1:
        column = st.selectbox(
            "Column with the user ids",
            list(columns),
            list(columns).index(column),
            format_func=lambda c: f"{c} ({columns[c].known:,} of {len(columns[c].ids):,} known)",
            key=f"rule-column-{file_id}",
        )
    if not columns[column].known:
        _say_known(columns[column], f"column “{column}”" if len(columns) > 1 else "this list")
        return
    if st.session_state.get("rule-uploaded") != (file_id, column):
        added = services.add_suppression_list(name, content, column)
        st.session_state["rule-uploaded"] = (file_id, column)
        st.session_state["rule-added"] = added.id
        st.rerun()


def _say_known(listed: services.ListedUsers, where: str) -> None:
    """How many of a list are users of the dataset; that nobody is would leave nobody out."""
    dataset = messages.plain(listed.dataset)
    named = ", ".join(messages.plain(i[:40]) for i in listed.unknown[:NAMED])
    named += f" and {len(listed.unknown) - NAMED:,} more" if len(listed.unknown) > NAMED else ""
    if not listed.known:
        st.error(
            f"None of the {messages.count(len(listed.ids), 'ids')} of {messages.plain(where)} is a user of {dataset}: "
            f"nobody would be left out ({named}). Users are called as in the events, for example "
            f"{messages.plain(listed.example)}: choose a column or upload a list that has such ids.",
            icon=":material/error:",
        )
        return
    unknown = f"; unknown: {named}" if listed.unknown else ""
    st.caption(
        f":material/check: {messages.count(listed.known)} of {messages.count(len(listed.ids), 'ids are')} users of "
        f"this dataset{unknown}"
    )
