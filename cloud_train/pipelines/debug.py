"""The debug pipeline: boosted trees under rules, which end a training that leads nowhere, and the run with it.

The defaults are the reference's bad hyperparameters: with a learning rate `eta` of 0 nothing is learnt.
"""

from typing import Any

from kfp import dsl

from . import debug_components as steps
from .needs import needs

RULES = "LossNotDecreasing,Overtraining:patience_train=10,patience_validation=20"


def debug_pipeline() -> Any:  # noqa: ANN401 - a pipeline of kfp's
    """Give the pipeline."""

    @dsl.pipeline(name="debug", description="XGBoost under the debugger's rules.")
    def debug(
        data: str = "",
        objective: str = "multi:softmax",
        rounds: int = 50,
        rules: str = RULES,
        eta: float = 0.0,
        max_depth: int = 5,
        gamma: float = 4.0,
        min_child_weight: float = 6.0,
        subsample: float = 0.7,
    ) -> None:
        table = needs(steps.make_table(data=data), "table").outputs["table"]
        trained = steps.boost(
            table=table, objective=objective, rounds=rounds, rules=rules, eta=eta, max_depth=max_depth, gamma=gamma,
            min_child_weight=min_child_weight, subsample=subsample,
        )  # fmt: skip
        needs(trained, "train xgboost", cpu="2", memory="4G")
        sound = needs(steps.require_no_finding(found=trained.outputs["Output"]), "rules", retries=0, cached=False)
        judged = steps.evaluate_trees(table=table, run=trained.outputs["run"]).after(sound)
        needs(judged, "evaluate")

    return debug
