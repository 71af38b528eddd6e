"""Names of Scaler's settings that mean nothing here, and why: they are accepted with a warning."""

REMEDIES = {
    "garbage_collect_interval_seconds": "collecting garbage is left to Python",
    "hard_processor_suspend": "no worker is ever suspended",
    "load_balance_seconds": "work is balanced all the time",
    "load_balance_trigger_times": "work is balanced all the time",
    "max_number_of_tasks_waiting": "tasks wait without a limit, and cost little more than their own bytes",
    "object_retention_seconds": "references decide how long objects live",
    "object_storage_address": "objects need no server of their own",
    "per_worker_queue_size": "how far work is given ahead is measured in time, not in tasks",
    "per_worker_task_queue_size": "how far work is given ahead is measured in time, not in tasks",
    "scaler_policy": "placement needs no policy",
    "scheduler_io_threads": "one I/O thread is enough",
    "security_config": "connections are always encrypted; make keys with 'scaler keygen' and name them by key_file",
    "task_timeout_seconds": "no task is ended by time",
    "trim_memory_threshold_bytes": "memory is left to the allocator",
    "worker_io_threads": "one I/O thread is enough",
    "worker_manager_id": "a cluster is known by its name",
}
#: what these were to mean "none" by, which is how it is here: no warning
HARMLESS = {"max_number_of_tasks_waiting": -1, "task_timeout_seconds": 0}
