"""Where labelled data comes from: folders, zips and tables, each with its guards."""
