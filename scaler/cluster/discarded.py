"""Names of Scaler's settings that mean nothing here, and why: they are accepted with a warning."""

REMEDIES = {
    "hard_processor_suspend": "no worker is ever suspended",
    "load_balance_seconds": "work is balanced all the time",
    "load_balance_trigger_times": "work is balanced all the time",
    "object_retention_seconds": "references decide how long objects live",
    "object_storage_address": "objects need no server of their own",
    "per_worker_queue_size": "how far work is given ahead is measured in time, not in tasks",
    "per_worker_task_queue_size": "how far work is given ahead is measured in time, not in tasks",
    "scaler_policy": "placement needs no policy",
    "scheduler_io_threads": "one I/O thread is enough",
    "security_config": "connections are always encrypted; make keys with 'scaler keygen' and name them by key_file",
    "worker_io_threads": "one I/O thread is enough",
    "worker_manager_id": "a cluster is known by its name",
}
