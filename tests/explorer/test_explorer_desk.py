from __future__ import annotations

import json
from pathlib import Path

import pytest
from dash import no_update

from archatlas.explorer import build_app, open_server
from archatlas.explorer.charts import Charts, picked
from archatlas.explorer.desk import Desk, named
from archatlas.records import format_architecture


@pytest.fixture
def desk(explorer):
    return Desk(explorer)


def words(part) -> str:
    return json.dumps(part, default=lambda each: each.to_plotly_json(), ensure_ascii=False)


def test_moving_a_limit_answers_in_words_and_numbers(desk, truth):
    macs = desk.explorer.quantities["macs"]
    middle = (macs.low + macs.high) / 2
    sentence, facts, table, asked, shown = desk.answer([middle, None])
    assert asked == {"macs": middle * macs.scale}
    score = truth.scores[truth.costs["macs"] <= asked["macs"]].max()
    assert shown["network"] in sentence
    assert f"predicted score {score:.3f}" in sentence
    assert "proven: no network within the budgets" in words(facts)
    assert words(table).count('"kind": "show"') == min(10, int((truth.costs["macs"] <= asked["macs"]).sum()))


def test_the_right_end_is_no_limit(desk, truth):
    high = [quantity.high for quantity in desk.explorer.quantities.values()]
    sentence, *_, asked, _ = desk.answer(high)
    assert asked == {}
    assert "without a budget" in sentence
    assert f"{truth.scores.max():.3f}" in sentence


def test_an_impossible_limit_keeps_the_network_shown(desk):
    sentence, facts, table, _, shown = desk.answer([0.0, None])
    assert "smallest attainable macs" in sentence
    assert (facts, table, shown) == ([], [], no_update)


def test_typing_a_network(desk):
    assert desk.typed("102")[0]["network"] == "120"
    unchanged, problem = desk.typed("999")
    assert unchanged is no_update
    assert "3 blocks" in problem
    assert "Expected an architecture" in desk.typed(None)[1]


def test_clicking_a_mark_or_an_empty_place(desk):
    macs = desk.explorer.quantities["macs"]
    shown, limits = desk.clicked({"points": [{"x": 1, "customdata": "111"}]}, "macs")
    assert shown["network"] == "111"
    assert limits == [no_update, no_update]
    shown, limits = desk.clicked({"points": [{"x": 2.5 * macs.scale, "customdata": 7.0}]}, "macs")
    assert shown is no_update
    assert limits == [2.5, no_update]


def test_every_point_of_the_figures_leads_to_its_network(explorer):
    for figure in Charts(explorer).draw("macs", {}):
        for trace in figure.select_traces({"type": "scatter"}):
            for x, text in zip(trace.x, trace.customdata, strict=True):
                found = picked({"points": [{"x": x, "customdata": text}]})
                assert explorer.network(found).costs["macs"] == x


def test_marks_move_and_networks_of_two_names_share_one(explorer):
    best = explorer.reply(()).best[0].architecture
    marks = {"shown": best, "A": (1, 1, 1), "B": best}
    figure, _ = Charts(explorer).draw("params", marks)
    texts = {each.text: (each.x, each.y) for each in figure.layout.annotations}
    costs = explorer.network(best).costs["params"]
    assert texts["shown, B"] == (costs, explorer.heights([best])[0])
    assert set(texts) == {"shown, B", "A"}
    patch, _ = Charts(explorer).moved("params", marks)
    (operation,) = patch.to_plotly_json()["operations"]
    assert operation["location"] == ["layout", "annotations"]
    assert [each["text"] for each in operation["params"]["value"]] == ["shown, B", "A"]


def test_names_that_are_not_there_are_not_marked():
    assert named(None, None, "111") == {"B": (1, 1, 1)}


def test_comparing_marks_differing_blocks_in_words(desk):
    sentence, parts = desk.comparison("121", "111")
    assert sentence == "A and B differ in 1 of 3 blocks: 1."
    assert words(parts).count("≠ differs") == 3  # in both drawings and in the table
    assert desk.comparison("111", "111")[0] == "A and B are the same network."
    assert desk.comparison("111", None) == ("Show a network and keep it as B.", [])


def test_a_network_is_shown_with_what_is_known(desk, run: Path):
    text = words(desk.network({"network": "111", "why": "as typed"})[0])
    assert "accuracy 60.00%" in text
    assert "test accuracy 75.00% on 20 images, trained on its own" in text
    assert "not measured" in words(desk.network({"network": "222", "why": ""})[0])


def test_the_application_starts_from_the_budgets_of_the_run_and_escapes_nothing_itself(explorer, hostile):
    app = build_app(explorer)
    client = app.server.test_client()
    page = client.get("/").text
    assert hostile not in page
    assert '<html lang="en">' in page
    layout = client.get("/_dash-layout").text
    position = 20_000 / explorer.quantities["macs"].scale
    assert f'"value":{position}' in layout.replace(" ", "")
    policy = client.get("/").headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy


def test_other_host_names_are_refused_on_loopback(explorer):
    app = build_app(explorer)
    server = open_server(app, "127.0.0.1", 0)
    server.server_close()
    client = app.server.test_client()
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/", headers={"Host": f"127.0.0.1:{server.port}"}).status_code == 200


def test_the_whole_front_is_in_its_table(desk):
    *_, table = desk.drawn("macs", {})
    texts = [format_architecture(answer.architecture) for answer in desk.explorer.front("macs")]
    assert all(f'"network": "{text}"' in words(table) for text in texts)
