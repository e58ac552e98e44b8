"""The operator's routes, ``/v1/admin``: a module a noun, over the command line's own verbs.

A noun is added with one line in ``NOUNS``.
"""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter

from mintage.api.admin.credits import credit_routes
from mintage.api.admin.customers import customer_routes
from mintage.api.admin.desk import PREFIX, Desk
from mintage.api.admin.economics import economics_routes
from mintage.api.admin.invoices import invoice_routes
from mintage.api.admin.keys import key_routes
from mintage.api.admin.operators import operator_routes
from mintage.api.admin.plans import plan_routes
from mintage.api.admin.products import product_routes
from mintage.api.admin.usage import usage_routes

__all__ = ["NOUNS", "PREFIX", "admin_routes"]

NOUNS: tuple[Callable[[Desk], APIRouter], ...] = (
    customer_routes,
    key_routes,
    plan_routes,
    usage_routes,
    invoice_routes,
    credit_routes,
    economics_routes,
    product_routes,
    operator_routes,
)


def admin_routes(desk: Desk) -> list[APIRouter]:
    """All of them, a router a noun."""
    return [routes(desk) for routes in NOUNS]
