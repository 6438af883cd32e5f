"""The policies that an administrator gives the store users."""

from storage.policies import publish_models, read_images, write_results


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
