from __future__ import annotations

from archatlas.reporting.benchmark_figures import search_figure


def test_a_curve_is_the_mean_over_runs() -> None:
    rows = [
        {"task": task, "predictor": name, "trainings": count, "true_best": 90.0 + count + run}
        for task in ("a", "b")
        for name in ("ours", "random")
        for count in (10, 5)
        for run in (0.0, 2.0)
    ]
    figure = search_figure([*rows, {"task": "a", "predictor": "raw", "trainings": 0, "true_best": 0.0}])
    curves = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert [(trace.name, list(trace.x), list(trace.y)) for trace in curves[:2]] == [
        ("ours", [5, 10], [96.0, 101.0]),
        ("random", [5, 10], [96.0, 101.0]),
    ]
    assert len(curves) == 4
    band = figure.data[0]
    assert (list(band.x), list(band.y)) == ([5, 10, 10, 5], [97.0, 102.0, 100.0, 95.0])
