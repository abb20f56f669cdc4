"""Any CSV or Parquet file: what is understood, and what each kind of damage costs."""

from __future__ import annotations

import csv
import gzip
import io
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rim_core.datasets import EventLog, guess_columns, load_dataset, rows, scan
from rim_core.errors import DataError, EmptyLogError, FormatError

HEAD = "user_id,item_id,timestamp,value\n"
GOOD = "a,x,2020-01-01T00:00:00Z,1\n"
MIDNIGHT = datetime(2020, 1, 1, tzinfo=UTC)


def write(folder: Path, content: str | bytes, name: str = "events.csv") -> Path:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def read(folder: Path, content: str | bytes, **options: Any) -> EventLog:
    return load_dataset("csv", write(folder, content), rejects_file=folder / "rejects.csv", **options)


def rejects(folder: Path) -> list[tuple[int, str, str]]:
    """(line, reason, text) of every rejected row."""
    with (folder / "rejects.csv").open(newline="", encoding="utf-8") as file:
        return [(int(row["line"]), row["reason"], row["text"]) for row in csv.DictReader(file)]


def pairs(log: EventLog) -> list[tuple[str, str]]:
    return list(zip(log.events["user_id"].astype(str), log.events["item_id"].astype(str), strict=True))


def test_a_file_becomes_events_with_values_types_titles_and_features(tmp_path: Path) -> None:
    log = read(
        tmp_path,
        "when;who;what;how;paid;name;shelf;city\n"
        "2020-01-02 10:00;u2;i1;buy;3.5;Soap;care;Ghent\n"
        "2020-01-01 09:00;u1;i1;view;;Soap bar;care;\n"
        "2020-01-03 09:00;u1;i2;buy;2;;;Bruges\n",
        columns={
            "user_id": "who",
            "item_id": "what",
            "timestamp": "when",
            "value": "paid",
            "event_type": "how",
            "title": "name",
            "item_features": ["shelf"],
            "user_features": ["city"],
        },
    )
    events = log.events.astype({"user_id": str, "item_id": str, "event_type": str})
    assert events.to_numpy().tolist() == [
        ["u1", "i1", pd.Timestamp("2020-01-01 09:00", tz="UTC"), 1.0, "view"],
        ["u1", "i2", pd.Timestamp("2020-01-03 09:00", tz="UTC"), 2.0, "buy"],
        ["u2", "i1", pd.Timestamp("2020-01-02 10:00", tz="UTC"), 3.5, "buy"],
    ]
    assert log.items["title"].to_dict() == {"i1": "Soap", "i2": "i2"}  # the first that is given, else the id
    assert log.items["shelf"].iloc[0] == "care"
    assert log.users["city"].to_dict() == {"u1": "Bruges", "u2": "Ghent"}
    assert log.report is not None
    assert log.report.defaults == {"value": 1}


@pytest.mark.parametrize("named", ["shelf", "shelf, city", ["shelf"], None])
def test_features_are_named_as_a_list_or_as_a_word_of_the_command_line(tmp_path: Path, named: object) -> None:
    head, row = "user_id,item_id,timestamp,shelf,city\n", "a,x,2020-01-01,care,Ghent\n"
    given = {"user_id": "user_id", "item_id": "item_id", "timestamp": "timestamp", "item_features": named}
    log = read(tmp_path, head + row, columns=given)
    wanted = {"shelf", "city"} if named == "shelf, city" else {"shelf"} if named else set()
    assert set(log.items.columns) - {"title"} == wanted


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "::"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_delimiters_line_ends_and_byte_order_marks_are_found_out(
    tmp_path: Path, delimiter: str, end: str, mark: str
) -> None:
    content = (mark + HEAD + GOOD + GOOD.replace("a,", "b,")).replace("\n", end).replace(",", delimiter)
    assert pairs(read(tmp_path, content)) == [("a", "x"), ("b", "x")]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1", "cp1252", "cp1250", "shift-jis", "utf-32"])
def test_encodings_are_read_when_they_are_stated(tmp_path: Path, encoding: str) -> None:
    word = "ソープ" if encoding == "shift-jis" else "šé" if encoding == "cp1250" else "ñé"
    content = (HEAD + GOOD.replace("x", word) * 2 + "b,x,2020-01-01,1\n").encode(encoding)
    assert pairs(read(tmp_path, content, encoding=encoding)) == [("a", word), ("b", "x")]


def test_utf_16_is_known_by_its_mark(tmp_path: Path) -> None:
    assert pairs(read(tmp_path, (HEAD + GOOD).encode("utf-16"))) == [("a", "x")]


@pytest.mark.parametrize("encoding", ["klingon", "base64", "rot13"])
def test_an_encoding_that_is_none_is_refused(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(FormatError, match="no encoding"):
        read(tmp_path, HEAD + GOOD, encoding=encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_bytes_that_are_not_in_the_encoding_cost_their_row(tmp_path: Path, encoding: str) -> None:
    log = read(tmp_path, HEAD.encode() + b"a,caf\x81\x9d,2020-01-01,1\n" + GOOD.encode(), encoding=encoding)
    assert pairs(log) == [("a", "x")]
    assert [(line, why) for line, why, _ in rejects(tmp_path)] == [(2, "not in the stated encoding")]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2020-01-01", MIDNIGHT),
        ("2020-01-01T00:00:00Z", MIDNIGHT),
        ("2020-01-01 00:00:00", MIDNIGHT),
        (" 2020-01-01 00:00:00 ", MIDNIGHT),
        ("2020-01-01T02:00:00+02:00", MIDNIGHT),
        ("2019-12-31T19:00:00-0500", MIDNIGHT),
        ("2020-01-01 01:00:00 Europe/Paris", MIDNIGHT),
        ("2020-01-01T00:00:00.123456", MIDNIGHT.replace(microsecond=123456)),
        ("1577836800", MIDNIGHT),
        ("1577836800.5", MIDNIGHT.replace(microsecond=500_000)),
        ("1.5778368e9", MIDNIGHT),
        ("1577836800123", MIDNIGHT.replace(microsecond=123_000)),
        ("1577836800123456", MIDNIGHT.replace(microsecond=123_456)),
        ("1577836800123456789", MIDNIGHT.replace(microsecond=123_456)),
        ("31/12/2019 00:00", datetime(2019, 12, 31, tzinfo=UTC)),
        ("12/31/2019 00:00", datetime(2019, 12, 31, tzinfo=UTC)),
        ("31.12.2019", datetime(2019, 12, 31, tzinfo=UTC)),
        ("31-12-2019 10:30", datetime(2019, 12, 31, 10, 30, tzinfo=UTC)),
        ("20191231", datetime(2019, 12, 31, tzinfo=UTC)),
        ("20191231235959", datetime(2019, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("12/31/2019 11:00:00 PM", datetime(2019, 12, 31, 23, tzinfo=UTC)),
        ("31-Dec-2019", datetime(2019, 12, 31, tzinfo=UTC)),
    ],
)
def test_times_as_files_write_them(tmp_path: Path, cell: str, expected: datetime) -> None:
    log = read(tmp_path, HEAD + f"a,x,{cell},1\n")
    assert log.events["timestamp"].tolist() == [pd.Timestamp(expected)]


def test_times_in_several_zones_in_one_file_are_all_right(tmp_path: Path) -> None:
    cells = ["2020-01-01T00:00:00+02:00", "2020-01-01T00:00:00Z", "2020-01-01 00:00:00", "2020-06-01 00:00:00"]
    log = read(tmp_path, HEAD + "".join(f"{i},x,{c},1\n" for i, c in enumerate(cells)), timezone="America/New_York")
    hours = ["2019-12-31 22:00", "2020-01-01 00:00", "2020-01-01 05:00", "2020-06-01 04:00"]
    assert log.events["timestamp"].tolist() == [pd.Timestamp(h, tz="UTC") for h in hours]


@pytest.mark.parametrize("form", ["s", "ms", "us", "ns"])
def test_unix_times_know_no_zone(tmp_path: Path, form: str) -> None:
    cell = str(1577836800 * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[form])
    log = read(tmp_path, HEAD + f"a,x,{cell},1\n", time_format=form, timezone="Asia/Tokyo")
    assert log.events["timestamp"].tolist() == [pd.Timestamp(MIDNIGHT)]


def test_day_and_month_that_cannot_be_told_apart_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="day and month"):
        read(tmp_path, HEAD + "a,x,01/02/2019,1\n")
    assert read(tmp_path, HEAD + "a,x,01/02/2019,1\n", time_format="%d/%m/%Y").events["timestamp"][0].month == 2


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"timezone": "Mars/Olympus"}, "no time zone"),
        ({"time_format": "fortnights"}, "no time format"),
        ({"columns": {"user_id": "who"}}, "no column who"),
        ({"columns": {"user_id": "user_id", "item_id": None}}, "item_id is not mapped"),
        ({"columns": {"user_id": "user_id", "item_id": "item_id", "timestamp": "when"}}, "no column when"),
        ({"columns": {"user_id": "user_id", "item_id": "item_id", "timestamp": "timestamp", "x": "y"}}, "'x' is none"),
        ({"delimiter": ";"}, "one column only"),
    ],
)
def test_what_was_stated_wrongly_is_named(tmp_path: Path, options: dict[str, Any], word: str) -> None:
    with pytest.raises(FormatError, match=word):
        read(tmp_path, HEAD + GOOD, **options)


def test_a_mapping_need_only_name_the_columns_that_cannot_be_guessed(tmp_path: Path) -> None:
    log = read(tmp_path, "who,sku,date,price\na,x,2024-01-01,-7\n", columns={"user_id": "who"})
    assert pairs(log) == [("a", "x")]
    assert log.events["value"].tolist() == [1.0]  # not asked for, so not read


def test_columns_may_be_positions_where_there_is_no_header(tmp_path: Path) -> None:
    columns = {"user_id": 1, "item_id": 0, "timestamp": 2}
    assert pairs(read(tmp_path, "x,a,2020-01-01\ny,b,2020-01-02\n", columns=columns)) == [("a", "x"), ("b", "y")]


@pytest.mark.parametrize(
    ("rows", "kept", "reasons"),
    [
        (",x,2020-01-01,1\n", 1, {"missing user": 1}),
        ("  ,x,2020-01-01,1\n\t,x,2020-01-01,1\nNULL,x,2020-01-01,1\n", 1, {"missing user": 3}),
        ("a,,2020-01-01,1\n", 1, {"missing item": 1}),
        ("a,x,,1\n", 1, {"missing time": 1}),
        ("a,x,yesterday,1\na,x,2020-02-30,1\na,x,infinity,1\n", 1, {"unreadable time": 3}),
        ("a,x,2999-01-01,1\n", 1, {"time in the future": 1}),
        ("a,x,2020-01-01,-0.01\n", 1, {"negative value": 1}),
        ("a,x,2020-01-01,ten\na,x,2020-01-01,nan\na,x,2020-01-01,inf\n", 1, {"unreadable value": 3}),
        ("a,y,2020-01-01,1\n" * 3, 2, {"duplicate row": 2}),
        (GOOD * 2, 1, {"duplicate row": 2}),
        ("a,y\na,y,2020-01-01,1,9\n", 1, {"wrong number of columns": 2}),
        ("u" * 1001 + ",x,2020-01-01,1\n", 1, {"id too long": 1}),
        ("u" * 1000 + ",x,2020-01-01,1\n", 2, {}),
        ("a,x\0,2020-01-01,1\n", 1, {"NUL byte": 1}),
        ("a,x,2020-01-02,\n\n   \n", 2, {"wrong number of columns": 1}),
    ],
)
def test_every_rejected_row_is_counted_and_kept_with_its_line(
    tmp_path: Path, rows: str, kept: int, reasons: dict[str, int]
) -> None:
    log = read(tmp_path, HEAD + rows + GOOD if "duplicate" not in str(reasons) else HEAD + GOOD + rows)
    report = log.report
    assert report is not None
    assert dict(report.rejected) == reasons
    assert len(log) == report.rows_kept == kept
    assert report.rows_read == report.rows_kept + report.rows_rejected
    if reasons:
        lines = (HEAD + (GOOD if "duplicate" in str(reasons) else "") + rows + GOOD).split("\n")
        for line, _, content in rejects(tmp_path):
            assert content.removeprefix("'") == lines[line - 1]
        assert report.rejects_file == tmp_path / "rejects.csv"
    else:
        assert report.rejects_file is None
        assert not (tmp_path / "rejects.csv").exists()


def test_duplicates_can_be_kept(tmp_path: Path) -> None:
    assert len(read(tmp_path, HEAD + GOOD * 3, duplicates="keep")) == 3


def test_rows_that_differ_in_anything_are_no_duplicates(tmp_path: Path) -> None:
    rows = "a,x,2020-01-01,1\nb,x,2020-01-01,1\na,y,2020-01-01,1\na,x,2020-01-02,1\na,x,2020-01-01,2\n"
    assert len(read(tmp_path, HEAD + rows)) == 5


@pytest.mark.parametrize("content", ["", "\n\n", HEAD, HEAD + "a,x,2999-01-01,1\n", HEAD + ",,,\n"])
def test_a_file_without_a_usable_event_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises((EmptyLogError, FormatError), match=r"empty|No usable"):
        read(tmp_path, content)


def test_one_row_and_one_user_are_enough(tmp_path: Path) -> None:
    assert len(read(tmp_path, HEAD + GOOD)) == 1
    assert len(read(tmp_path, HEAD + "".join(f"a,i{k},2020-01-01,1\n" for k in range(9))).users) == 1


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ('"a","x, y","2020-01-01","1"\n', [("a", "x, y")]),
        ('"a ""b""",x,2020-01-01,1\n', [('a "b"', "x")]),
        ('a,"x\ny",2020-01-01,1\nb,z,2020-01-01,1\n', [("a", "x\ny"), ("b", "z")]),
        ('a,5" nail,2020-01-01,1\nb,z,2020-01-01,1\n', [("a", '5" nail'), ("b", "z")]),
        ('a,"nail,2020-01-01,1\nb,z,2020-01-01,1\n', [("b", "z")]),
        ('a,x,2020-01-01,"1\n' + "b,z,2020-01-01,1\n" * 2, [("b", "z")]),
        ("=cmd|' /C calc'!A0,@x,2020-01-01,1\n", [("=cmd|' /C calc'!A0", "@x")]),
        ("a'; DROP TABLE staged_events; --,x,2020-01-01,1\n", [("a'; DROP TABLE staged_events; --", "x")]),
        ("ü😀,ÿ,2020-01-01,1\n", [("ü😀", "ÿ")]),
        ("\n\na,x,2020-01-01,1\n\n", [("a", "x")]),
    ],
)
def test_quotes_and_strange_texts(tmp_path: Path, rows: str, expected: list[tuple[str, str]]) -> None:
    assert pairs(read(tmp_path, HEAD + rows)) == expected


def test_a_formula_in_the_rejects_file_is_disarmed(tmp_path: Path) -> None:
    with pytest.raises(EmptyLogError, match=r"rejects\.csv"):
        read(tmp_path, HEAD + "=1+1,x,never,1\n")
    assert rejects(tmp_path) == [(2, "unreadable time", "'=1+1,x,never,1")]


def test_blank_lines_before_the_header_shift_no_line_number(tmp_path: Path) -> None:
    read(tmp_path, "\n\n" + HEAD + "\n" + GOOD + "\n,x,2020-01-01,1\nb,y\n")
    assert [(line, why) for line, why, _ in rejects(tmp_path)] == [
        (7, "missing user"),
        (8, "wrong number of columns"),
    ]


@pytest.mark.parametrize(
    "head", ["ID,id,item,time", 'a"b,ID,item,time', "id,id,item,time", ",id,item,time", "c1,id,item,time"]
)
def test_column_names_may_be_anything(tmp_path: Path, head: str) -> None:
    columns = {"user_id": head.split(",")[1], "item_id": "item", "timestamp": "time"}
    content = head.replace('a"b', '"a""b"') + "\nz,a,x,2020-01-01\n"
    if head.startswith("id,id"):
        with pytest.raises(FormatError, match="more than once"):
            read(tmp_path, content, columns=columns)
    else:
        assert pairs(read(tmp_path, content, columns=columns)) == [("a", "x")]


def test_files_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(5000)
    for content in (b"\x89PNG\r\n\x1a\n" + noise, b"PK\x03\x04" + noise, noise, b"\0" * 100):
        with pytest.raises(FormatError, match="no text file"):
            read(tmp_path, content)
    with pytest.raises(FormatError, match="not mapped"):
        read(tmp_path, "<!doctype html><html><body>404, not found</body></html>\n")
    with pytest.raises(FormatError, match="one column"):
        read(tmp_path, "just some words\nand more\n")


def test_a_path_that_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder"):
        load_dataset("csv", tmp_path)
    with pytest.raises(DataError, match="no file"):
        load_dataset("csv", tmp_path / "absent.csv")


@pytest.mark.parametrize("name", ["it's [a] *?.csv", "spaces and ünïcode.csv", "semi;colon'--.csv"])
def test_a_path_may_hold_anything(tmp_path: Path, name: str) -> None:
    write(tmp_path, HEAD + "zzz,x,2020-01-01,1\n", "its a b.csv")  # what the wildcard would match
    assert pairs(load_dataset("csv", write(tmp_path, HEAD + GOOD, name))) == [("a", "x")]


def test_gzip_is_read_and_a_damaged_one_refused(tmp_path: Path) -> None:
    rows = "".join(f"u{k},x,2020-01-01,{k}\n" for k in range(5000))
    packed = gzip.compress((HEAD + rows).encode())
    assert len(load_dataset("csv", write(tmp_path, packed, "a.csv.gz"))) == 5000
    for damaged in (packed[:-5], packed[: len(packed) // 2], packed[:1000] + b"\0" * 20 + packed[1020:], b"\x1f\x8b"):
        with pytest.raises(FormatError, match="damaged gzip"):
            load_dataset("csv", write(tmp_path, damaged, "b.csv.gz"))


def test_a_long_cell_is_rejected_and_an_endless_one_refused(tmp_path: Path) -> None:
    log = read(tmp_path, HEAD + f'a,"{"y" * 9_000_000}",2020-01-01,1\n' + GOOD)
    assert dict(log.report.rejected) == {"id too long": 1}  # type: ignore[union-attr]
    with pytest.raises(FormatError, match="one record of 33 MB"):
        read(tmp_path, HEAD + GOOD + f"a,{'y' * (33 << 20)},2020-01-01,1\n")


def test_an_endless_quote_costs_its_row_only(tmp_path: Path) -> None:
    rows = "".join(f"u{k},{'y' * 900},2020-01-01,1\n" for k in range(60_000))  # one record of 55 MB with the quote
    log = read(tmp_path, HEAD + '"a,x,2020-01-01,1\n' + rows)
    assert len(log) == 60_000
    assert rejects(tmp_path) == [(2, "unbalanced quote", '"a,x,2020-01-01,1')]


def test_a_damaged_record_over_several_lines_is_kept_whole(tmp_path: Path) -> None:
    rows = 'b,"y\ny",2020-01-01,1\nc,"z\n\nz",2020-01-01,1,9\n,"z\nz",2020-01-01,1\n' + GOOD
    assert pairs(read(tmp_path, HEAD + rows)) == [("a", "x"), ("b", "y\ny")]
    assert rejects(tmp_path) == [
        (4, "wrong number of columns", 'c,"z\n\nz",2020-01-01,1,9'),
        (7, "missing user", ',"z\nz",2020-01-01,1'),
    ]


# Oracles


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)


@settings(max_examples=12, deadline=None)
@given(rows=st.lists(st.tuples(cells, cells), min_size=1, max_size=12), end=st.sampled_from(["\n", "\r\n"]))
def test_what_the_csv_module_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], end: str
) -> None:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(["user_id", "item_id", "timestamp"])
    for user, item in rows:
        writer.writerow([f"u{user}.", f"i{item}.", "2020-01-01"])
    folder = tmp_path_factory.mktemp("oracle")
    log = read(folder, out.getvalue(), duplicates="keep", delimiter=",")
    assert sorted(pairs(log)) == sorted((f"u{user}.", f"i{item}.") for user, item in rows)


good = st.tuples(st.just('a,"{}",2020-01-01,1'), st.just(""))
damaged = st.sampled_from(
    [
        ('a,"{}",2020-01-01,1,9', "wrong number of columns"),
        ('"{}",x', "wrong number of columns"),
        (',"{}",2020-01-01,1', "missing user"),
        ('a,"{}",never,1', "unreadable time"),
        ("", "blank"),
    ]
)


@settings(max_examples=15, deadline=None)
@given(
    rows=st.lists(st.tuples(good | damaged, st.sampled_from(["x", "x\ny", 'x""\n\ny', "x\n\n\n"])), max_size=15),
    mark=st.sampled_from(["", "\n\n", "\ufeff"]),
)
def test_every_rejected_record_is_found_at_its_line(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[tuple[str, str], str]], mark: str
) -> None:
    content, line, expected = mark + HEAD, 2 + mark.count("\n"), []
    for (pattern, reason), cell in rows:
        record = pattern.format(cell)
        if reason not in ("", "blank"):
            expected.append((line, reason, record))
        content += record + "\n"
        line += record.count("\n") + 1
    folder = tmp_path_factory.mktemp("lines")
    log = read(folder, content + GOOD, duplicates="keep")
    assert len(log) == 1 + sum(reason == "" for (_, reason), _ in rows)
    assert (rejects(folder) if expected else []) == expected


def slow_records(data: bytes, quote: bool) -> list[tuple[int, str]]:
    """(first line, text) of every record that is not blank, one byte at a time."""
    found, line, start, record_line, inside, k = [], 1, 0, 1, False, 0
    while k < len(data):
        width = 2 if data[k : k + 2] == b"\r\n" else 1 if data[k : k + 1] in (b"\r", b"\n") else 0
        if data[k : k + 1] == b'"' and quote:
            inside = not inside
        if width:
            line += 1
            if not inside:
                found.append((record_line, data[start:k].decode()))
                start, record_line = k + width, line
        k += max(width, 1)
    if start < len(data):
        found.append((record_line, data[start:].decode()))
    return [(number, record) for number, record in found if record]


@settings(max_examples=300, deadline=None)
@given(data=st.text(st.sampled_from('ab",\n\r'), max_size=40), chunk=st.integers(1, 7), quote=st.booleans())
def test_records_are_counted_and_found_again_whatever_the_chunks(
    tmp_path_factory: pytest.TempPathFactory, data: str, chunk: int, quote: bool
) -> None:
    file = tmp_path_factory.mktemp("scan") / "a.txt"
    file.write_bytes(data.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "CHUNK", chunk)
        seen = scan.scan(file, quote=quote)
        expected = slow_records(data.encode(), quote)
        assert seen.records == len(expected)
        assert seen.longest == max((len(record) for _, record in expected), default=0)
        lines = np.array([number for number, _ in expected], np.int64)
        for wanted in (lines, lines[::2], lines[-1:]):
            again = list(scan.Lines(file, "utf-8", quote)(wanted))
            assert again == [record for number, record in expected if number in wanted]
        part = rows.TextPart(file, seen.records, seen.records, np.union1d(seen.blank, seen.continued))
        assert part.line_of(np.arange(seen.records)).tolist() == lines.tolist()


# Parquet


def test_parquet_is_read_with_its_own_types(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "user_id": [1.0, 2.0, np.nan, 4.0],  # what pandas makes of integers with a gap
            "item_id": [10, 20, 30, 40],
            "timestamp": pd.to_datetime(["2020-01-01 10:00"] * 3 + [None]).tz_localize("Europe/Paris"),
            "value": [1, 2, 3, 4],
            "title": ["x", "y", "z", "w"],
        }
    )
    frame.to_parquet(tmp_path / "a.parquet")
    log = load_dataset("parquet", tmp_path / "a.parquet", rejects_file=tmp_path / "rejects.csv")
    assert pairs(log) == [("1", "10"), ("2", "20")]
    assert log.events["timestamp"].tolist() == [pd.Timestamp("2020-01-01 09:00", tz="UTC")] * 2
    assert log.items["title"].tolist() == ["x", "y"]
    found = rejects(tmp_path)
    assert [(line, why) for line, why, _ in found] == [(3, "missing user"), (4, "missing time")]
    assert '"item_id":30' in found[0][2]


@pytest.mark.parametrize(
    "times",
    [
        pd.to_datetime(["2020-01-01"]),
        ["2020-01-01"],
        ["01.01.2020"],
        [1577836800],
        [1577836800000],
        [1577836800000000000],
        [pd.Timestamp("2020-01-01").date()],
        np.array(["2020-01-01"], "datetime64[s]"),
    ],
)
def test_parquet_times_of_any_type(tmp_path: Path, times: Any) -> None:
    pd.DataFrame({"user_id": ["a"], "item_id": ["x"], "timestamp": times}).to_parquet(tmp_path / "a.parquet")
    log = load_dataset("parquet", tmp_path / "a.parquet")
    assert log.events["timestamp"].tolist() == [pd.Timestamp(MIDNIGHT)]


def test_damaged_parquet_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"user_id": ["a"] * 999, "item_id": "x", "timestamp": "2020-01-01"}).to_parquet(tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    for damaged in (whole[:-20], b"PAR1", whole[:50] + b"\xff" * 200 + whole[250:], b""):
        with pytest.raises(DataError, match=r"b\.parquet"):
            load_dataset("parquet", write(tmp_path, damaged, "b.parquet"))


# A person maps columns: what is proposed


def test_columns_are_guessed_from_names(tmp_path: Path) -> None:
    file = write(
        tmp_path, "Household ID;Product;Order_Date;Sales Value;Product Name\n1;2;2020-01-01;3.5;Soap\n", "till.csv"
    )
    preview = guess_columns(file)
    assert preview.guess == {
        "user_id": "Household ID",
        "item_id": "Product",
        "timestamp": "Order_Date",
        "value": "Sales Value",
        "title": "Product Name",
    }
    assert (preview.name, preview.source, preview.delimiter, preview.time_format) == ("till", "csv", ";", "iso")
    assert preview.missing == ()
    assert preview.rows.iloc[0].tolist() == ["1", "2", "2020-01-01", "3.5", "Soap"]
    assert len(load_dataset("csv", file, columns=preview.guess)) == 1


def test_a_time_column_is_known_by_its_content_and_the_rest_is_asked_for(tmp_path: Path) -> None:
    preview = guess_columns(write(tmp_path, "who,what,moment\nanna,soap,2020-01-01 10:00:00\n"))
    assert preview.guess == {"timestamp": "moment"}
    assert preview.missing == ("user_id", "item_id")


def test_without_a_header_columns_are_guessed_in_order(tmp_path: Path) -> None:
    preview = guess_columns(write(tmp_path, "196\t242\t3\t881250949\n186\t302\t3\t891717742\n"))
    assert not preview.header
    assert preview.guess == {"timestamp": "3", "user_id": "0", "item_id": "1"}


def test_a_preview_reads_encodings_and_parquet(tmp_path: Path) -> None:
    preview = guess_columns(write(tmp_path, (HEAD + GOOD).encode("utf-16")))
    assert preview.missing == ()
    pd.DataFrame({"user": [1], "item": [2], "ts": [1577836800]}).to_parquet(tmp_path / "a.parquet")
    found = guess_columns(tmp_path / "a.parquet")
    assert (found.source, found.time_format, found.missing) == ("parquet", "s", ())
    with pytest.raises(FormatError, match="empty"):
        guess_columns(write(tmp_path, ""))


# -- decimal commas ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("separator", "cells", "values", "said"),
    [
        (";", ["3,50", "12", "0,5", "1,234"], [3.5, 12, 0.5, 1.234], "decimal comma"),
        (";", ["1.234,50", "1.234", "3"], [1234.5, 1234, 3], "1.234,50 was read as 1234.50"),
        (";", ["1,234", "2,500"], [1.234, 2.5], "decimal comma"),
        (";", ["1,234.50", "1,234"], [1234.5, 1234], "set apart"),
        (",", ["3,50", "1 234,5"], [3.5, 1234.5], "decimal comma"),
        (",", ["1,234", "1,234.50", "7"], [1234, 1234.5, 7], "1,234.50 was read as 1234.50"),
        (",", ["1,234", "2.5"], [1234, 2.5], "1,234 was read as 1234"),
        (",", ["1,234,567"], [1234567], "set apart"),
        (",", ["1'234.50", "2"], [1234.5, 2], "set apart"),
        (",", ["1.234", "2.5", "1e2"], [1.234, 2.5, 100], ""),
    ],
)
def test_values_are_read_as_the_whole_column_writes_them(
    tmp_path: Path, separator: str, cells: list[str], values: list[float], said: str
) -> None:
    rows = [["user_id", "item_id", "timestamp", "value"]]
    rows += [[f"u{i}", "x", "2020-01-01", cell] for i, cell in enumerate(cells)]
    out = io.StringIO()
    csv.writer(out, delimiter=separator).writerows(rows)
    log = read(tmp_path, out.getvalue(), delimiter=separator)
    assert log.report.rows_rejected == 0
    assert log.events["value"].tolist() == values
    assert said in " ".join(log.report.notes)
    assert bool(log.report.notes) == bool(said)
    frame = pd.DataFrame(rows[1:], columns=rows[0])
    frame.to_parquet(tmp_path / "same.parquet")
    if separator == ",":
        assert load_dataset("parquet", tmp_path / "same.parquet").events["value"].tolist() == values


@pytest.mark.parametrize(
    ("cells", "said"),
    [(["1,234", "2,500", "9"], "have a decimal comma, or set"), (["3,50", "3.50", "9"], "with a point")],
)
def test_values_that_may_be_either_are_rejected_until_somebody_says_what_they_are(
    tmp_path: Path, cells: list[str], said: str
) -> None:
    content = HEAD + "".join(f'u{i},x,2020-01-01,"{cell}"\n' for i, cell in enumerate(cells))
    log = read(tmp_path, content)
    assert log.report.rejected["unreadable value"] == len([c for c in cells if "," in c])
    (note,) = log.report.notes
    assert re.search(said, note)
    assert "decimal=','" in note
    assert read(tmp_path, content, decimal=",").events["value"].tolist()[0] in (1.234, 3.5)
    assert read(tmp_path, content, decimal=".").events["value"].tolist()[0] in (1234, 3.5)
    with pytest.raises(FormatError, match="no decimal sign"):
        read(tmp_path, content, decimal=";")


def test_a_number_with_thousands_far_down_is_read_like_the_others(tmp_path: Path) -> None:
    rows = [f"u{i},x,2020-01-01,12.5\n" for i in range(30_000)]
    log = read(tmp_path, HEAD + "".join(rows) + 'v,x,2020-01-01,"1,234"\nw,x,2020-01-01,ten\n')
    assert log.events["value"].max() == 1234
    assert log.report.rejected == {"unreadable value": 1}
    assert log.report.rows_read == 30_002
