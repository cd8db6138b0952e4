"""`python -m paddock.main`"""

from paddock.main import main

main()
