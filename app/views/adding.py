"""Adding a dataset: the demo, an official format, or any table with its columns mapped."""

from __future__ import annotations

import streamlit as st

from app import services
from app.ui import messages
from app.views import mapping

LABELS = {
    "complete-journey": "Complete Journey: a year of a grocery chain (comes along)",
    "file": "A CSV or Parquet file",
    "movielens": "MovieLens folder (ml-1m, ml-100k, ml-latest)",
    "netflix": "Netflix Prize folder",
    "yoochoose": "YooChoose folder (clicks and buys)",
    "shop": "A simulated shop with known truth",
}


def add_dataset() -> None:
    """The whole form; what was added becomes the chosen dataset."""
    with st.container(border=True):
        source = st.selectbox(
            "Where the events come from", list(LABELS), format_func=LABELS.__getitem__, key="add-source"
        )
        request = _file() if source == "file" else _official(source)
        if request is None:
            return
        name = st.text_input(
            "Name in this workspace",
            request.name,
            key=f"add-name-{request.name}",
            help="Letters, digits, dots and dashes.",
        )
        request = request.named(name.strip())
        if st.button("Add the dataset", type="primary", icon=":material/add:", disabled=not name.strip(), key="add-go"):
            st.session_state["adding"] = services.add_dataset(request)
    key = st.session_state.get("adding")
    if key:
        _progress(key)


@st.fragment(run_every=0.5)
def _progress(key: str) -> None:
    """The import that goes on; the page is drawn again when it is over."""
    task = services.task(key)
    if task is None:
        return
    if task.state == "failed":
        _failed(task.error)
    elif task.state == "done":
        services.forget(key)
        del st.session_state["adding"]
        info = task.result
        st.session_state["dataset"] = info.label
        verb = "is here now" if info.is_new else "was already here with the same content"
        report = info.report
        rejected = report.rows_rejected if report is not None else 0
        why = f" {messages.count(rejected, 'rows')} rejected: see why under **Overview**." if rejected else ""
        st.toast(
            f"**{messages.plain(info.label)}** {verb}: {messages.count(info.events, 'events')}.{why}",
            icon=":material/warning:" if rejected else ":material/check:",
            duration="long" if rejected else "short",
        )
        st.rerun()
    else:
        st.progress(task.share, text=f"{messages.plain(task.stage)} · {messages.duration(task.seconds)}")
        if st.button("Stop", key="add-stop", icon=":material/stop:", help="The workspace stays as it was."):
            services.forget(key)
            del st.session_state["adding"]
            st.rerun()


def _failed(error: Exception | None) -> None:
    """Why nothing was added; rows that were rejected can be looked at."""
    if isinstance(error, services.NothingUsable):
        messages.problem(messages.plain(services.in_words(error.said)).replace("\n", "  \n"))
        rejects = error.rejects_file
        if rejects is not None and rejects.exists():
            st.download_button(
                "Download the rejected rows", rejects.read_bytes, file_name=rejects.name, mime="text/csv",
                on_click="ignore", icon=":material/download:", key="add-rejects",
            )  # fmt: skip
        return
    with messages.guard(services.Problem, "add the dataset"):
        raise error or RuntimeError("no error was kept")


def _official(source: str) -> services.ImportRequest | None:
    """Fields of a format that is known."""
    if source == "complete-journey":
        kinds = {
            "product_type": "product types (2,378)",
            "product_category": "categories (303)",
            "product_id": "single products (68,509)",
        }
        level = st.selectbox("Items are", list(kinds), format_func=kinds.__getitem__, key="add-level")
        st.caption("A year of 2,469 households, 1.24 million purchases by product type. For research and education.")
        return services.ImportRequest(source, source, options={"level": level})
    if source == "shop":
        cells = st.columns(4)
        sizes = {
            "users": int(cells[0].number_input("Users", 100, 1_000_000, 5_000, step=1_000, key="add-users")),
            "items": int(cells[1].number_input("Items", 12, 200_000, 300, step=50, key="add-shop-items")),
            "days": int(cells[2].number_input("Days", 30, 1_000, 180, step=30, key="add-days")),
            "seed": int(cells[3].number_input("Seed", 0, 10_000, 0, key="add-seed")),
        }
        return services.ImportRequest("shop", source, options=sizes)
    path = st.text_input("Folder or file on this machine", key=f"add-path-{source}", placeholder=f"/data/{source}")
    if not path.strip():
        st.caption("Type where the unpacked official files are.")
        return None
    return services.ImportRequest(source, source, path=path.strip())


def _file() -> services.ImportRequest | None:
    """A table of the user's own: where it is, what its columns mean."""
    way = st.segmented_control(
        "How it gets here", ["Upload", "Path on this machine"], default="Upload", required=True, key="add-way"
    )
    if way == "Upload":
        uploaded = st.file_uploader("CSV or Parquet", type=["csv", "tsv", "txt", "gz", "parquet"], key="add-upload")
        if uploaded is None:
            return None
        path = services.keep_upload(uploaded.name, uploaded.file_id, uploaded)
    else:
        path = st.text_input("File on this machine", key="add-path-file", placeholder="/data/events.csv").strip()
        if not path:
            return None
    with st.expander("How it is written: encoding, times, numbers", icon=":material/settings:"):
        writing = mapping.writing("add")
    try:
        preview = services.preview(path, writing.encoding)
    except services.Problem as error:
        messages.problem(messages.plain(services.in_words(str(error))))
        return None
    columns = mapping.columns(preview, "add", preview.name)
    if columns is None:
        return None
    features = mapping.features(preview, "add", preview.name, columns)
    options: dict[str, object] = {"columns": {**columns, **features}, **writing.options(preview.source)}
    return services.ImportRequest(preview.name, preview.source, path=path, options=options)
