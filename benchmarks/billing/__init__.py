"""Measuring what capture costs: metering beside a bare loop, books over millions of events."""
