"""Whether anything that the tests made, or the program said meanwhile, holds a secret or an original where it may not.

``plugin`` asks at the end of every run of the tests, over everything that all workers left behind. ``places`` lists
where secrets and originals lie by design; everywhere else they are leaks. ``search`` finds them.
"""
