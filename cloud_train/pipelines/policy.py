"""The policy pipeline: a simulation application, a learner with its simulation jobs, and a published policy.

Steps start jobs and return their names: what a learner and its simulations wait for in each other must not be steps
that wait for each other, as a runner may run steps one after another.
"""

from typing import Any

from kfp import dsl

from . import policy_components as steps
from .event_components import publish as publish_bundle
from .needs import RUN, needs

SIMULATIONS = 2


def policy_pipeline(on: str = "local") -> Any:  # noqa: ANN401 - a pipeline of kfp's
    """Give the pipeline whose jobs run on this machine, on a Ray cluster, or in SageMaker and AWS Batch."""

    @dsl.pipeline(name="policy", description="A policy learnt in simulation, judged, and published in a bundle.")
    def policy(
        task: str = "FollowTarget-v0",
        options: dict[str, str] = {},  # noqa: B006 - kfp copies it
        budget_seconds: float = 60.0,
        simulations: int = SIMULATIONS,
        settings: dict[str, str] = {},  # noqa: B006
        episodes: int = 100,
        minimum: float = 0.9,
        version: str = "1.0.0",
        publish: str = "",
        cloud: dict[str, str] = {},  # noqa: B006
    ) -> None:
        deleted = needs(steps.delete_app(on=on, cloud=cloud, pipeline_run=RUN), "delete simulation app", cached=False)
        with dsl.ExitHandler(deleted, name="simulation application"):
            created = steps.create_app(task=task, options=options, on=on, cloud=cloud, pipeline_run=RUN)
            app = needs(created, "create simulation app", cached=False).output
            learning = steps.start_learner(
                app=app, task=task, simulations=simulations, budget_seconds=budget_seconds, settings=settings,
                on=on, cloud=cloud, pipeline_run=RUN,
            )  # fmt: skip
            learner = needs(learning, "start learner", cached=False).output
            simulating = steps.start_simulations(
                app=app, simulations=simulations, learner=learner, on=on, cloud=cloud, pipeline_run=RUN
            )
            jobs = needs(simulating, "start simulations", cached=False).output
            waiting = steps.wait_for_policy(learner=learner, simulations=jobs, cloud=cloud)
            run = needs(waiting, "wait for training", cached=False).outputs["run"]
            judged = needs(steps.evaluate_policy(run=run, episodes=episodes), "evaluate", cpu="2", memory="4G")
            passed = steps.gate_policy(scores=judged.outputs["scores"], minimum=minimum)
            needs(passed, "gate", retries=0, cached=False)
            exported = steps.export_policy(run=run, episodes=episodes, version=version, pipeline_run=RUN)
            needs(exported.after(passed), "export", cpu="2", memory="4G")
            needs(publish_bundle(bundle=exported.outputs["bundle"], to=publish), "publish", cached=False)

    return policy
