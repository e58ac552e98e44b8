"""The bundle: what passes from creation to delivery; called by create, deliver and above."""
