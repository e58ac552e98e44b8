"""From labelled data to a signed bundle: collect, prepare, design, train, evaluate, export."""
