"""Rows that come in numbers, on every database."""

import pytest

from mintage.store.schema import rollup_steps
from mintage.store.statements import Insertion
from mintage.store.workspace import Workspace

INSERTION = Insertion(rollup_steps, ["step", "made_at"], " ON CONFLICT (step) DO NOTHING")


@pytest.mark.parametrize("count", [0, 1, 3, 4, 21, 64, 150])
def test_any_number_of_rows_is_inserted_in_its_order(workspace: Workspace, count: int) -> None:
    rows = [(number, f"{number:03}") for number in range(count)]
    assert workspace.database.write(lambda each: INSERTION.execute(each, rows)) == count
    with workspace.database.read() as connection:
        found = connection.execute(rollup_steps.select().order_by("step")).all()
    assert [tuple(row) for row in found] == rows


def test_rows_that_are_there_already_are_not_counted(workspace: Workspace) -> None:
    rows = [(number, str(number)) for number in range(20)]
    workspace.database.write(lambda each: INSERTION.execute(each, rows[5:9]))
    assert workspace.database.write(lambda each: INSERTION.execute(each, rows)) == 16
