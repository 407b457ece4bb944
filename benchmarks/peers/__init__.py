"""Reading beside those that researchers use today, each in the versions that it needs, on the same bars.

``peers.questions`` has what is asked, ``peers.pressure`` readers beside a writer, and memory.
"""
