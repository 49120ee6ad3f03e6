"""The components of the debug pipeline: each body is one import and one call."""

from kfp.dsl import HTML, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from .image import component


@component
def make_table(data: str, table: Output[Dataset]) -> None:
    """Take a table, or write that of handwritten digits."""
    from cloud_train.pipelines.debug_steps import make_table

    make_table(data=data, table=table)


@component
def boost(
    table: Input[Dataset],
    objective: str,
    rounds: int,
    rules: str,
    eta: float,
    max_depth: int,
    gamma: float,
    min_child_weight: float,
    subsample: float,
    run: Output[Model],
    metrics: Output[Metrics],
    report: Output[HTML],
) -> str:
    """Train boosted trees under the debugger's rules: `touchline-train xgboost`; what was found."""
    from cloud_train.pipelines.debug_steps import boost

    parameters = {
        "eta": eta, "max_depth": max_depth, "gamma": gamma, "min_child_weight": min_child_weight,
        "subsample": subsample,
    }  # fmt: skip
    return boost(
        table=table, objective=objective, rounds=rounds, rules=rules, parameters=parameters,
        run=run, metrics=metrics, report=report,
    )  # fmt: skip


@component
def require_no_finding(found: str) -> None:
    """End the run where a rule found something."""
    from cloud_train.pipelines.debug_steps import require_no_finding

    require_no_finding(found=found)


@component
def evaluate_trees(
    table: Input[Dataset], run: Input[Model], metrics: Output[Metrics], confusion: Output[ClassificationMetrics]
) -> None:
    """Judge the trees on the rows that were held out."""
    from cloud_train.pipelines.debug_steps import evaluate_trees

    evaluate_trees(table=table, run=run, metrics=metrics, confusion=confusion)
