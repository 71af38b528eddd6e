"""What runs in a measured process, under the Python of the peer that is measured.

This folder, not the repository, is on that process's path, so that a peer never finds this project by accident. Hence
its modules go by short names, and import the standard library and the peer only.
"""
