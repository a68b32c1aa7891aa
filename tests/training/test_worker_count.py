"""Number of worker processes that load images."""

import pytest

from levit.training.worker_count import choose_num_workers


@pytest.mark.parametrize(
    ("cores", "num_processes", "on_cpu", "expected"),
    [(2, 1, True, 0), (4, 2, True, 0), (16, 1, True, 15), (2, 1, False, 2), (16, 8, False, 2), (1, 2, False, 1)],
)  # fmt: skip
def test_the_number_of_workers_depends_on_the_cores(cores, num_processes, on_cpu, expected):
    assert choose_num_workers(None, num_processes, on_cpu=on_cpu, cores=cores) == expected
    assert choose_num_workers(3, num_processes, on_cpu=on_cpu, cores=cores) == 3
