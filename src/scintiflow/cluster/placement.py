"""What every task of a pipeline gets besides its arguments, in one place.

KFP 2.17 has no call for a pod's priority. Kueue admits KFP's pods by label, with a queue and a priority, so
these two travel as Kueue's labels; on a cluster without Kueue they are labels and nothing more.
"""

from kfp import dsl, kubernetes

from scintiflow.params.placement import PlacementParams, StepPlacement
from scintiflow.registry.surroundings import EXPERIMENT, PIPELINE_RUN
from scintiflow.stages.graph import TITLES

EXPERIMENT_ANNOTATION = "scintiflow/experiment"
RUN_LABEL = "pipeline/runid"  # on every pod of a run, set by Kubeflow Pipelines
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
PRIORITY_LABEL = "kueue.x-k8s.io/priority-class"


def place(task: dsl.PipelineTask, placement: PlacementParams | None = None, experiment: str = "") -> None:
    """Give a stage's task its display name and its place on a cluster.

    No environment variable is set directly, because some caches compare those: they come from ConfigMaps, Secrets
    and the pod's own fields, which none compares. `placement` None is this machine, which has nothing to place.
    """
    stage = task.component_spec.name.replace("-", "_")
    task.set_display_name(TITLES[stage])
    if placement is not None:
        place_like(task, placement.step(stage), experiment)


def place_share(
    task: dsl.PipelineTask,
    stage: str,
    number: int,
    shares: int,
    placement: PlacementParams | None = None,
    experiment: str = "",
) -> None:
    """The same for a task that does share `number` (1, 2, ...) of a stage's work; it runs where the stage does."""
    task.set_display_name(share_title(stage, number, shares))
    if placement is not None:
        place_like(task, placement.step(stage), experiment)


def share_title(stage: str, number: int, shares: int) -> str:
    return f"{TITLES[stage]}, share {number} of {shares}"


def place_like(task: dsl.PipelineTask, step: StepPlacement, experiment: str) -> None:
    """Give a task the place `step`, which may be that of another one."""
    # With what Kubeflow Pipelines adds itself this is the Pod Security Standard 'restricted'.
    kubernetes.set_security_context(task, run_as_user=step.user, run_as_group=step.user, run_as_non_root=True)
    _give_resources(task, step)
    _choose_node(task, step)
    _limit_time(task, step)
    _connect(task, step)
    _tell_which_run(task, experiment)


def _give_resources(task: dsl.PipelineTask, step: StepPlacement) -> None:
    """Requests equal limits: such a pod is the last that a node under pressure evicts."""
    task.set_cpu_request(step.cpu).set_cpu_limit(step.cpu)
    task.set_memory_request(step.memory).set_memory_limit(step.memory)
    if step.gpus:
        task.set_accelerator_type(step.gpu_type).set_accelerator_limit(step.gpus)
    if step.shared_memory:
        # A container's own /dev/shm is 64 MiB; data loaders pass batches through it.
        kubernetes.empty_dir_mount(task, "shm", "/dev/shm", medium="Memory", size_limit=step.shared_memory)


def _choose_node(task: dsl.PipelineTask, step: StepPlacement) -> None:
    for label in step.node_labels:
        key, value = label.split("=", 1)
        kubernetes.add_node_selector(task, key, value)
    for toleration in step.tolerations:
        taint, effect = toleration.rsplit(":", 1)
        key, equals, value = taint.partition("=")
        if equals:
            kubernetes.add_toleration(task, key=key, operator="Equal", value=value, effect=effect)
        else:
            kubernetes.add_toleration(task, key=key, operator="Exists", effect=effect)
    if step.queue:
        kubernetes.add_pod_label(task, QUEUE_LABEL, step.queue)
    if step.priority_class:
        kubernetes.add_pod_label(task, PRIORITY_LABEL, step.priority_class)


def _limit_time(task: dsl.PipelineTask, step: StepPlacement) -> None:
    kubernetes.set_timeout(task, step.timeout_minutes * 60)
    if step.retries:
        task.set_retry(
            step.retries,
            backoff_duration=f"{step.retry_after_seconds}s",
            backoff_factor=step.retry_factor,
            backoff_max_duration=f"{step.retry_at_most_seconds}s",
        )


def _connect(task: dsl.PipelineTask, step: StepPlacement) -> None:
    for setting in step.settings:
        kubernetes.use_config_map_as_env(task, setting.config_map, {setting.key: setting.env})
    for secret in step.secrets:
        kubernetes.use_secret_as_env(task, secret.secret, {secret.key: secret.env})
    for files in step.secret_files:
        kubernetes.use_secret_as_volume(task, files.secret, files.path)
    for volume in step.volumes:
        kubernetes.mount_pvc(task, volume.claim, volume.path)


def _tell_which_run(task: dsl.PipelineTask, experiment: str) -> None:
    """All steps of a run find the same MLflow parent run by the id that Kubeflow gives the run."""
    kubernetes.use_field_path_as_env(task, PIPELINE_RUN, f"metadata.labels['{RUN_LABEL}']")
    if experiment:
        kubernetes.add_pod_annotation(task, EXPERIMENT_ANNOTATION, experiment)
        kubernetes.use_field_path_as_env(task, EXPERIMENT, f"metadata.annotations['{EXPERIMENT_ANNOTATION}']")
