"""The policies that an administrator gives the store users."""

from storage.policies import publish_models, read_images, replay_history, set_references, watch_drift, write_results


def test_the_first_user_reads_images_and_nothing_else():
    """Literally what `deeptrace storage policies images` prints."""
    assert read_images(["one", "two"]) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:GetObjectVersion"],
                "Resource": ["arn:aws:s3:::one/*", "arn:aws:s3:::two/*"],
            },
            {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": ["arn:aws:s3:::one", "arn:aws:s3:::two"]},
        ],
    }


def test_the_second_user_writes_results_and_deletes_only_its_probes():
    """An outcome, once settled, is out of its reach; a bucket that serves for both is named once."""
    policy = write_results(overlay_bucket="results", overlay_prefix="overlays/", outcome_bucket="results")
    assert [(statement["Action"], statement["Resource"]) for statement in policy["Statement"]] == [
        (["s3:PutObject"], ["arn:aws:s3:::results/overlays/*"]),
        (["s3:PutObject", "s3:GetObject"], ["arn:aws:s3:::results/outcomes/*"]),
        (["s3:DeleteObject"], ["arn:aws:s3:::results/outcomes/probe-*"]),
        (["s3:ListBucket"], ["arn:aws:s3:::results"]),
    ]


def test_a_worker_that_follows_a_release_reads_the_registry_and_cannot_write_it():
    """The first user with the bucket of the models: to get and to list, no more."""
    policy = read_images(["images"], model_bucket="models-bucket")
    assert [(statement["Action"], statement["Resource"]) for statement in policy["Statement"]] == [
        (["s3:GetObject", "s3:GetObjectVersion"], ["arn:aws:s3:::images/*", "arn:aws:s3:::models-bucket/*"]),
        (["s3:ListBucket"], ["arn:aws:s3:::images", "arn:aws:s3:::models-bucket"]),
    ]


def test_a_publisher_adds_to_the_registry_and_deletes_nothing():
    """It reads what it has written, since a release is checked before it is promoted."""
    assert [(statement["Action"], statement["Resource"]) for statement in publish_models("m-b")["Statement"]] == [
        (["s3:PutObject", "s3:GetObject"], ["arn:aws:s3:::m-b/models/*"]),
        (["s3:ListBucket"], ["arn:aws:s3:::m-b"]),
    ]


def test_a_drift_worker_that_joins_labels_reads_the_archive_and_cannot_write_it():
    """Beside its own bucket: to get outcomes and to list, no more."""
    policy = watch_drift("d-b", reports=False, outcome_bucket="o-b")
    assert [(statement["Action"], statement["Resource"]) for statement in policy["Statement"]] == [
        (["s3:GetObject"], ["arn:aws:s3:::d-b/references/*"]),
        (["s3:GetObject"], ["arn:aws:s3:::o-b/outcomes/*"]),
        (["s3:ListBucket"], ["arn:aws:s3:::d-b", "arn:aws:s3:::o-b"]),
    ]


def test_a_drift_worker_reads_references_and_cannot_change_what_counts_as_normal():
    """It writes reports where those are on, and nothing else."""
    policy = watch_drift("d-b", reports=True)
    assert [(statement["Action"], statement["Resource"]) for statement in policy["Statement"]] == [
        (["s3:GetObject"], ["arn:aws:s3:::d-b/references/*"]),
        (["s3:PutObject"], ["arn:aws:s3:::d-b/reports/*"]),
        (["s3:ListBucket"], ["arn:aws:s3:::d-b"]),
    ]
    assert "s3:PutObject" not in str(watch_drift("d-b", reports=False))


def test_who_sets_references_deletes_none():
    """And puts reports that were asked for."""
    assert [(statement["Action"], statement["Resource"]) for statement in set_references("d-b")["Statement"]] == [
        (["s3:PutObject", "s3:GetObject"], ["arn:aws:s3:::d-b/references/*"]),
        (["s3:PutObject"], ["arn:aws:s3:::d-b/reports/*"]),
        (["s3:ListBucket"], ["arn:aws:s3:::d-b"]),
    ]


def test_who_replays_history_reads_what_a_worker_reads_and_puts_its_report_and_nothing_else():
    """It can overwrite no reference, no outcome and no overlay."""
    policy = replay_history(["i-b"], model_bucket="m-b", overlay_bucket="o-b", drift_bucket="d-b")
    writes = [statement for statement in policy["Statement"] if any("Put" in action for action in statement["Action"])]
    assert [(statement["Action"], statement["Resource"]) for statement in writes] == [
        (["s3:PutObject"], ["arn:aws:s3:::d-b/replays/*"])
    ]
    assert read_images(["i-b"], model_bucket="m-b")["Statement"] == policy["Statement"][:2]
    assert "s3:DeleteObject" not in str(policy)
