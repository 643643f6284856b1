"""The three actors of the TCE profile: Export Selector, Export Manager, Receiver."""
