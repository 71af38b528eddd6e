"""The speed table: this project and its peers, side by side on one machine, each figure beside its bar."""
