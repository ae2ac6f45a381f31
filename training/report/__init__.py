"""Reports of finished trainings: tables, figures, one page for a run or a comparison, TensorBoard.

    results.py    rows of a comparison, read     drawing.py    a figure as SVG and PNG, and how all of them look
    groups.py     mean ± sd over seeds           figures.py    accuracy against size, compression and cost
    tables.py     Markdown and CSV               sites.py      neurons per site
    page.py       a page of HTML, all escaped    curves.py     validation by epoch
    run_page.py   the page of one run            comparison.py everything about a comparison, into a folder
    board.py      a reporter that writes TensorBoard's files

Matplotlib and TensorBoard are imported where something is drawn or logged, not before. Nothing here trains.
"""
