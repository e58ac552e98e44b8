"""Upstreams: servers of others, that speak OpenAI's API and answer for a product."""
