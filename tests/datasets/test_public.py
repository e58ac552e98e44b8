import re

import pytest

from mintage.core.errors import ConfigError
from mintage.core.units import check_name
from mintage.datasets import public
from mintage.datasets.public import PublicSet
from mintage.sources.guard import WebAddress
from mintage.sources.headers import safe_name


@pytest.mark.parametrize("each", public.SETS, ids=lambda each: each.name)
def test_a_public_set_says_all_that_somebody_must_know_before_it_is_fetched(
    each: PublicSet,
) -> None:
    assert public.find(each.name) is each
    assert check_name(each.name, "dataset") == each.name
    assert re.fullmatch("[0-9a-f]{64}", each.file.sha256)
    assert each.file.size > 0
    assert safe_name(each.file.name) == each.file.name
    assert each.file.addresses
    for address in (*each.file.addresses, each.page):
        assert WebAddress.parse(address).url == address
    assert all((each.title, each.what, each.licence, each.consent))
    assert each.about.licence == str(each.licence)
    assert each.file.sha256 in each.about.origin
    assert each.page in each.about.origin


def test_names_are_told_apart_and_an_unknown_one_is_answered_with_those_there_are() -> None:
    assert len({each.name for each in public.SETS}) == len(public.SETS)
    with pytest.raises(ConfigError, match="No public set is called 'pet'") as refused:
        public.find("pet")
    assert "pets" in refused.value.remedy
