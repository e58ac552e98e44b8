"""The composition root: joins the rooms and offers each verb once, to cli, api and Python."""
