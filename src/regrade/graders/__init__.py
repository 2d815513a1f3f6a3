"""One file a grader type, named as on the wire, and build.py, which turns a criterion into a grader."""
