"""What goes in: one folder a kind of data, each behind the protocol ``core.ports.Modality``."""
