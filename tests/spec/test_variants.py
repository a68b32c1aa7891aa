import pytest

from levit.errors import ConfigError
from levit.spec.variants import VARIANTS, find_variant


@pytest.mark.parametrize("name", ["levit-128s", "LeViT-128S", "levit_128s"])
def test_a_name_is_found_in_any_case_and_with_underscores(name):
    assert find_variant(name) is VARIANTS["levit-128s"]


def test_the_hint_for_an_unknown_name_lists_the_known_names():
    with pytest.raises(ConfigError, match=r"levit-129.*levit-128s, levit-128, levit-192, levit-256, levit-384"):
        find_variant("levit-129")
