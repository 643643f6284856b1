"""The application: actors, exports, network, audit and command line of an IHE TCE Export Manager.

``tce`` puts the three other packages to work and is the only one that knows them all; ``tce.wiring`` chooses
the real adapters.
"""

__version__ = "0.1.0"
