"""Where facts rest: the database, the blobs and the workspace's folders; called by rooms above."""
