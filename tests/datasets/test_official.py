"""Readers of official formats, on small files in the official layouts and on the real ones where they are."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

from rim_core.datasets import SOURCES, EventLog, load_dataset, reader_for, split_preset
from rim_core.errors import DataError, FormatError


def rows(log: EventLog) -> list[tuple[str, str, str, float, str]]:
    """Events as (user, item, time, value, type)."""
    e = log.events
    times = e["timestamp"].dt.strftime("%Y-%m-%d %H:%M:%S")
    return list(zip(e["user_id"], e["item_id"], times, e["value"], e["event_type"], strict=True))


def put(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


# MovieLens

ML_1M: dict[str, str | bytes] = {
    "ratings.dat": "1::1193::5::978300760\n1::661::3::978302109\n2::1193::4::978298413\n",
    "movies.dat": "661::James and the Giant Peach (1996)::Animation|Children's|Musical\n"
    "1193::Léon: The Professional (1994)::Drama\n9::Never rated (1990)::Action\n".encode("latin-1"),
    "users.dat": "1::F::1::10::48067\n2::M::56::16::70072\n",
}


def test_ml_1m(tmp_path: Path) -> None:
    log = load_dataset("movielens", put(tmp_path, ML_1M))
    assert rows(log) == [
        ("1", "1193", "2000-12-31 22:12:40", 5.0, "rating"),
        ("1", "661", "2000-12-31 22:35:09", 3.0, "rating"),
        ("2", "1193", "2000-12-31 21:33:33", 4.0, "rating"),
    ]
    assert log.items.loc["1193"].to_dict() == {"title": "Léon: The Professional (1994)", "genres": "Drama"}
    assert log.items.loc["9", "title"] == "Never rated (1990)"
    assert log.users.loc["2"].to_dict() == {
        "gender": "M",
        "age": "56+",
        "occupation": "self-employed",
        "zip_code": "70072",
    }
    assert rows(load_dataset("movielens", tmp_path / "ratings.dat")) == rows(log)


def test_ml_100k(tmp_path: Path) -> None:
    flags = "|".join(["0", "0", "0", "1", "1", "1", *["0"] * 13])
    files: dict[str, str | bytes] = {
        "u.data": "196\t242\t3\t881250949\n186\t302\t3\t891717742\n",
        "u.item": f"242|Kolya (1996)|24-Jan-1997||http://imdb|{flags}\n".encode("latin-1"),
        "u.user": "196|49|M|writer|55105\n",
    }
    log = load_dataset("movielens", put(tmp_path, files))
    assert rows(log) == [
        ("186", "302", "1998-04-04 19:22:22", 3.0, "rating"),
        ("196", "242", "1997-12-04 15:55:49", 3.0, "rating"),
    ]
    assert log.items["title"].to_dict() == {"242": "Kolya (1996)", "302": "302"}
    assert log.items.loc["242", "genres"] == "Animation|Children's|Comedy"
    assert log.users.loc["196", "age"] == 49


def test_ml_latest(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "ratings.csv": "userId,movieId,rating,timestamp\n1,1,4.0,964982703\n1,11,0.5,964981247\n",
        "movies.csv": "movieId,title,genres\n1,Toy Story (1995),Adventure|Animation\n"
        '11,"American President, The (1995)",Comedy|Drama|Romance\n',
    }
    log = load_dataset("movielens", put(tmp_path, files))
    assert rows(log) == [
        ("1", "11", "2000-07-30 18:20:47", 0.5, "rating"),
        ("1", "1", "2000-07-30 18:45:03", 4.0, "rating"),
    ]
    assert log.items.loc["11", "title"] == "American President, The (1995)"


def test_movielens_in_gzip_and_without_titles(tmp_path: Path) -> None:
    ratings = ML_1M["ratings.dat"]
    assert isinstance(ratings, str)
    log = load_dataset("movielens", put(tmp_path, {"ratings.dat.gz": gzip.compress(ratings.encode())}))
    assert len(log) == 3
    assert log.report is not None
    assert "no titles" in log.report.summary()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1::2::5\n", "wrong number of columns"),
        ("1::2::x::978300760\n", "unreadable value"),
        ("1::2::5::soon\n", "unreadable time"),
        ("::2::5::978300760\n", "missing user"),
        ("1::1193::5::978300760\n", "duplicate row"),
        ("1::2::5::9783007600\n", "time in the future"),
    ],
)
def test_damaged_ratings_are_counted(tmp_path: Path, line: str, reason: str) -> None:
    ratings = ML_1M["ratings.dat"]
    assert isinstance(ratings, str)
    put(tmp_path, {**ML_1M, "ratings.dat": ratings + line})
    log = load_dataset("movielens", tmp_path, rejects_file=tmp_path / "rejects.csv")
    assert log.report is not None
    assert dict(log.report.rejected) == {reason: 1}
    found = pd.read_csv(tmp_path / "rejects.csv")
    assert found[["line", "reason", "text"]].to_numpy().tolist() == [[4, reason, line.strip()]]


# Netflix

COMBINED = "8:\n2347415,1,2005-05-13\n17:\n1056065,4,2003-08-12\n2347415,3,2005-05-14\n"
TITLES = "8,2004,What the #$*! Do We Know!?\n17,2005,7 Seconds, Director's Café\n99,NULL,Without, a year\n98,Nor this\n"


def test_netflix_combined(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "combined_data_1.txt": COMBINED,
        "combined_data_2.txt": "4500:\n7,2,2005-01-01\n",
        "combined_data_10.txt": "9210:\n7,3,2005-01-01\n",
        "movie_titles.csv": TITLES.encode("latin-1"),
        "qualifying.txt": "1:\n1046323,2005-12-19\n",
    }
    log = load_dataset("netflix", put(tmp_path, files))
    assert rows(log) == [
        ("1056065", "17", "2003-08-12 00:00:00", 4.0, "rating"),
        ("2347415", "8", "2005-05-13 00:00:00", 1.0, "rating"),
        ("2347415", "17", "2005-05-14 00:00:00", 3.0, "rating"),
        ("7", "4500", "2005-01-01 00:00:00", 2.0, "rating"),  # ties in the order of the files: 2 before 10
        ("7", "9210", "2005-01-01 00:00:00", 3.0, "rating"),
    ]
    assert log.items.loc["17", "title"] == "7 Seconds, Director's Café"
    assert log.items.loc["17", "year"] == 2005
    assert log.items.loc[["98", "99"], "title"].tolist() == ["Nor this", "Without, a year"]
    assert log.report is not None
    assert log.report.rows_read == 5


def test_netflix_training_set(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "training_set/mv_0000008.txt": "8:\n2347415,1,2005-05-13\n",
        "training_set/mv_0000017.txt": "17:\n1056065,4,2003-08-12\n2347415,3,2005-05-14\n",
        "combined/combined_data_1.txt": COMBINED,
        "movie_titles.txt": TITLES.encode("latin-1"),
    }
    put(tmp_path, files)
    log = load_dataset("netflix", tmp_path)
    assert rows(log) == rows(load_dataset("netflix", tmp_path / "combined" / "combined_data_1.txt"))
    assert rows(log) == rows(load_dataset("netflix", tmp_path / "training_set"))
    assert log.items.loc["8", "title"] == "What the #$*! Do We Know!?"
    single = load_dataset("netflix", tmp_path / "training_set" / "mv_0000017.txt")
    assert [row[1] for row in rows(single)] == ["17", "17"]


def test_damaged_netflix_lines_are_found_at_their_file_and_line(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "combined_data_1.txt": "1,5,2005-01-01\n8:\n\n2,5,2005-01-01\nx y z\n9:\n3,6\n4,five,2005-01-01\n"
        "5,5,2005-01-01,1\n",
        "combined_data_2.txt": "10:\n6,5,2005-13-01\n7,5,2005-01-02\n",
    }
    put(tmp_path, files)
    log = load_dataset("netflix", tmp_path, rejects_file=tmp_path / "rejects.csv")
    assert [row[:2] for row in rows(log)] == [("2", "8"), ("7", "10")]
    found = pd.read_csv(tmp_path / "rejects.csv")
    found["file"] = found["file"].map(lambda name: Path(name).name[14:15])
    assert found.to_numpy().tolist() == [
        ["1", 1, "missing item", "1,5,2005-01-01"],
        ["1", 5, "missing time", "x y z"],
        ["1", 7, "missing time", "3,6"],
        ["1", 8, "unreadable value", "4,five,2005-01-01"],
        ["1", 9, "wrong number of columns", "5,5,2005-01-01,1"],
        ["2", 2, "unreadable time", "6,5,2005-13-01"],
    ]
    assert log.report is not None
    assert log.report.rows_read == 8


def test_a_file_of_another_kind_is_no_netflix_file(tmp_path: Path) -> None:
    put(tmp_path, {"combined_data_1.txt": "user,rating,date\n1,2,2005-01-01\n"})
    with pytest.raises(FormatError, match="no Netflix Prize file"):
        load_dataset("netflix", tmp_path)
    put(tmp_path, {"training_set/mv_0000001.txt": "1,2,2005-01-01\n"})
    with pytest.raises(FormatError, match="no Netflix Prize file"):
        load_dataset("netflix", tmp_path / "training_set")


# YooChoose

CLICKS = (
    "11,2014-04-03T10:44:35.672Z,214821275,0\n11,2014-04-03T10:45:01.674Z,214821276,S\n"
    "12,2014-04-07T09:01:13.011Z,5,3\n"
)
BUYS = "11,2014-04-03T10:46:20.306Z,214821276,12462,2\n"


def test_yoochoose_clicks_and_buys(tmp_path: Path) -> None:
    put(tmp_path, {"yoochoose-clicks.dat": CLICKS, "yoochoose-buys.dat": BUYS})
    clicks = [
        ("11", "214821275", "2014-04-03 10:44:35", 1.0, "click"),
        ("11", "214821276", "2014-04-03 10:45:01", 1.0, "click"),
        ("12", "5", "2014-04-07 09:01:13", 1.0, "click"),
    ]
    buy = ("11", "214821276", "2014-04-03 10:46:20", 24924.0, "buy")
    assert rows(load_dataset("yoochoose", tmp_path)) == [*clicks[:2], buy, clicks[2]]
    assert rows(load_dataset("yoochoose", tmp_path, events="clicks")) == clicks
    assert rows(load_dataset("yoochoose", tmp_path / "yoochoose-buys.dat")) == [buy]
    assert load_dataset("yoochoose", tmp_path).events["timestamp"].iloc[0].microsecond == 672_000


def test_damaged_yoochoose_lines_are_counted(tmp_path: Path) -> None:
    put(tmp_path, {"yoochoose-clicks.dat": CLICKS + "13,soon,7,0\n13\n", "yoochoose-buys.dat": BUYS + BUYS + "1,2,3\n"})
    log = load_dataset("yoochoose", tmp_path)
    assert log.report is not None
    assert dict(log.report.rejected) == {"wrong number of columns": 2, "unreadable time": 1, "duplicate row": 1}
    assert log.report.rows_read == 8


# Complete Journey


@pytest.fixture
def till(tmp_path: Path) -> Path:
    """A small copy of the package's tables."""
    pd.DataFrame(
        {
            "household_id": [1, 1, 1, 2, 2, 1],
            "basket_id": [10, 10, 10, 20, 20, 11],
            "product_id": [100, 100, 101, 100, 102, 103],
            "sales_value": [1.5, 0.25, 2.0, 1.5, 9.0, 4.0],
            "transaction_timestamp": pd.to_datetime(
                ["2017-01-01 10:00"] * 3 + ["2017-01-02 12:00"] * 2 + ["2017-01-03 09:00"]
            ),
        }
    ).to_parquet(tmp_path / "transactions.parquet")
    pd.DataFrame(
        {
            "product_id": [100, 101, 102, 103, 104],
            "manufacturer_id": [1, 1, 2, 2, 2],
            "department": ["GROCERY", "GROCERY", "DRUG", "DRUG", "DRUG"],
            "brand": ["National", "Private", "National", "National", "Private"],
            "product_category": ["BREAD", "BREAD", "SOAP", None, "SOAP"],
            "product_type": ["WHITE BREAD", "WHITE BREAD", "BAR SOAP", None, "LIQUID SOAP"],
            "package_size": ["22 OZ", None, "4 OZ", None, "1 L"],
        }
    ).to_parquet(tmp_path / "products.parquet")
    people = pd.DataFrame({"household_id": [1, 77], "age": ["35-44", "65+"], "income": ["50-74K", "Under 15K"]})
    for column in ("home_ownership", "marital_status", "household_size", "household_comp", "kids_count"):
        people[column] = "x"
    people.to_parquet(tmp_path / "demographics.parquet")
    return tmp_path


def test_baskets_sum_to_one_event_per_household_item_and_basket(till: Path) -> None:
    log = load_dataset("complete-journey", till)
    assert rows(log) == [
        ("1", "WHITE BREAD", "2017-01-01 10:00:00", 3.75, "purchase"),
        ("2", "WHITE BREAD", "2017-01-02 12:00:00", 1.5, "purchase"),
        ("2", "BAR SOAP", "2017-01-02 12:00:00", 9.0, "purchase"),
    ]
    assert log.report is not None
    assert dict(log.report.rejected) == {"missing item": 1}
    assert "6 lines of receipts make 4 events" in log.report.summary()
    assert log.items.loc["WHITE BREAD"].to_dict() == {
        "title": "WHITE BREAD",
        "department": "GROCERY",
        "product_category": "BREAD",
        "products": 2,
    }
    assert log.items.index.tolist() == ["BAR SOAP", "WHITE BREAD"]  # what nobody bought is not in play
    assert log.users.loc["1", "age"] == "35-44"
    assert pd.isna(log.users.loc["2", "age"])
    assert "77" not in log.users.index


def test_items_at_other_levels(till: Path) -> None:
    products = load_dataset("complete-journey", till, level="product_id")
    assert len(products) == 5
    assert products.items.loc["100", "title"] == "WHITE BREAD, 22 OZ"
    assert products.items.loc["103", "title"] == "DRUG"
    categories = load_dataset("complete-journey", till, level="product_category")
    assert categories.items.index.tolist() == ["BREAD", "SOAP"]
    assert categories.items.loc["SOAP"].to_dict() == {"title": "SOAP", "department": "DRUG", "products": 1}
    with pytest.raises(DataError, match="choose product_id, product_type, product_category"):
        load_dataset("complete-journey", till, level="aisle")


def test_the_real_complete_journey() -> None:
    log = load_dataset("complete-journey")
    assert len(log) == 1_240_369
    assert len(log.users) == 2_469
    assert len(log.items) == 2_242
    report = log.report
    assert report is not None
    assert dict(report.rejected) == {"missing item": 5_837}
    assert (report.first, report.last) == ("2017-01-01T11:53:26Z", "2018-01-01T04:01:20Z")
    assert log.users["age"].notna().sum() == 801
    assert log.events["value"].sum() == pytest.approx(4_580_000, rel=0.01)


# Real files, where they are


def test_the_real_ml_1m_and_its_published_split(shared_data: Path) -> None:
    log = load_dataset("movielens", path=shared_data / "ml-1m")
    assert (len(log), len(log.users), len(log.items)) == (1_000_209, 6_040, 3_883)
    assert log.items.loc["2858", "title"] == "American Beauty (1999)"
    assert log.report is not None
    assert log.report.items == 3_706
    split = split_preset(log, "ml-1m")
    assert len(split.log) == 504_663
    assert split.horizon_seconds == 1533.5
    first = split.log.arrays.time[split.log.arrays.offsets[split.test.user]]
    assert set((split.test.time - first) / 1e6) == {1533.5}
    assert split.test.shape == split.calibration.shape == (3_020, 3_552)  # 3 556 when ties are broken by another draw
    assert int((split.train.stop - split.train.start).sum()) == 376_478
    assert split.test.targets.sum() == 23_955
    assert not set(split.test.user) & set(split.calibration.user)
    assert split.test.seen is not None
    assert split.test.targets.multiply(split.test.seen).sum() == 0


def test_the_real_ml_100k(shared_data: Path) -> None:
    log = load_dataset("movielens", path=shared_data / "ml-100k")
    assert (len(log), len(log.users), len(log.items)) == (100_000, 943, 1_682)
    assert log.items.loc["50", "title"] == "Star Wars (1977)"
    assert log.users["occupation"].value_counts().idxmax() == "student"


def test_the_real_netflix_sample(shared_data: Path) -> None:
    log = load_dataset("netflix", path=shared_data / "netflix")
    assert (len(log), log.events["user_id"].nunique()) == (10_000, 9_687)
    assert log.items.loc["1", "title"] == "Dinosaur Planet"
    assert len(log.items) == 17_770
    split = split_preset(log, "netflix")
    assert split.train.time.max() == pd.Timestamp("2005-06-01", tz="UTC").value // 1000
    assert split.log.events["timestamp"].min() >= pd.Timestamp("2005-01-01", tz="UTC")


def test_the_real_yoochoose_day(shared_data: Path) -> None:
    log = load_dataset("yoochoose", path=shared_data / "yoochoose")
    assert (len(log), len(log.users), len(log.items)) == (71_222, 15_324, 6_751)
    assert log.event_types == ["click"]
    split = split_preset(log, "yoochoose", fraction=1)
    pairs = split.log.events[["user_id", "item_id"]]
    assert not pairs.duplicated().any()
    assert split.log.events.groupby("user_id", observed=True).size().min() >= 4
    assert split.log.events.groupby("item_id", observed=True).size().min() >= 10
    assert split.test.horizon == split.calibration.horizon
    assert split.test.targets.sum() > 1_000


# Whatever the source


@pytest.mark.parametrize("name", ["movielens", "netflix", "yoochoose"])
def test_a_folder_without_the_files_says_what_it_should_hold(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="hold"):
        load_dataset(name, tmp_path)
    with pytest.raises(DataError, match="There is no"):
        load_dataset(name, tmp_path / "absent")
    (tmp_path / "notes.txt").write_text("hello\n")
    with pytest.raises(DataError):
        load_dataset(name, tmp_path / "notes.txt")


def test_sources_options_and_paths_are_checked(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="choose complete-journey, movielens"):
        load_dataset("lastfm")
    with pytest.raises(DataError, match="needs a path"):
        load_dataset("movielens")
    with pytest.raises(DataError, match=r"no option colour.*events"):
        reader_for("yoochoose", tmp_path, colour="red")
    with pytest.raises(DataError, match="made, not read"):
        load_dataset("shop", tmp_path)
    with pytest.raises(DataError, match="choose all, clicks or buys"):
        reader_for("yoochoose", tmp_path, events="views")
    assert not SOURCES["shop"].needs_path
    assert reader_for("shop", users=10).name == "shop"
