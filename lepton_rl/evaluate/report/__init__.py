"""One page about a run, and the same figures as JSON, CSV and Markdown.

evidence   what is shown, measured by replays
gantt      who ran where
chart      axes, lines and bars as drawings that need no script
drawings   the charts of the page
page       HTML
text       JSON, CSV and Markdown
"""
