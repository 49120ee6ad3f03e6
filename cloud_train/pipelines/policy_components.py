"""The components of the policy pipeline: each body is one import and one call."""

from kfp.dsl import HTML, Artifact, Input, Metrics, Model, Output

from .image import component


@component
def create_app(task: str, options: dict[str, str], on: str, cloud: dict[str, str], pipeline_run: str) -> str:
    """Make the simulation application that learner and simulation jobs share."""
    from cloud_train.pipelines.policy_steps import create_app

    return create_app(task=task, options=options, on=on, cloud=cloud, pipeline_run=pipeline_run)


@component
def start_learner(
    app: str,
    task: str,
    simulations: int,
    budget_seconds: float,
    settings: dict[str, str],
    on: str,
    cloud: dict[str, str],
    pipeline_run: str,
) -> str:
    """Start the learner, `touchline-train rl train --app`, and return its name at once."""
    from cloud_train.pipelines.policy_steps import start_learner

    return start_learner(
        app=app, task=task, simulations=simulations, budget_seconds=budget_seconds, settings=settings, on=on,
        cloud=cloud, pipeline_run=pipeline_run,
    )  # fmt: skip


@component
def start_simulations(
    app: str, simulations: int, learner: str, on: str, cloud: dict[str, str], pipeline_run: str
) -> list[str]:
    """Start the simulation jobs, `touchline-train rl simulate`, and return their names at once."""
    from cloud_train.pipelines.policy_steps import start_simulations

    return start_simulations(
        app=app, simulations=simulations, learner=learner, on=on, cloud=cloud, pipeline_run=pipeline_run
    )


@component
def wait_for_policy(
    learner: str,
    simulations: list[str],
    cloud: dict[str, str],
    run: Output[Model],
    metrics: Output[Metrics],
    report: Output[HTML],
) -> None:
    """Wait for the learner, reflect states and logs of all jobs, and fetch the policy."""
    from cloud_train.pipelines.policy_steps import wait_for_policy

    wait_for_policy(learner=learner, simulations=simulations, cloud=cloud, run=run, metrics=metrics, report=report)


@component
def evaluate_policy(
    run: Input[Model], episodes: int, metrics: Output[Metrics], report: Output[HTML], scores: Output[Artifact]
) -> None:
    """Judge the policy in simulation, beside the controller made by hand and chance."""
    from cloud_train.pipelines.policy_steps import evaluate_policy

    evaluate_policy(run=run, episodes=episodes, metrics=metrics, report=report, scores=scores)


@component
def gate_policy(scores: Input[Artifact], minimum: float) -> None:
    """Go on only where the policy is good enough."""
    from cloud_train.pipelines.policy_steps import gate_policy

    gate_policy(scores=scores, minimum=minimum)


@component
def export_policy(
    run: Input[Model],
    episodes: int,
    version: str,
    pipeline_run: str,
    bundle: Output[Model],
    metrics: Output[Metrics],
) -> None:
    """Write the policy into a bundle: `touchline-train rl export`."""
    from cloud_train.pipelines.policy_steps import export_policy

    export_policy(
        run=run, episodes=episodes, version=version, pipeline_run=pipeline_run, bundle=bundle, metrics=metrics
    )


@component
def delete_app(on: str, cloud: dict[str, str], pipeline_run: str) -> None:
    """Stop what is left of the jobs and remove the simulation application."""
    from cloud_train.pipelines.policy_steps import delete_app

    delete_app(on=on, cloud=cloud, pipeline_run=pipeline_run)
