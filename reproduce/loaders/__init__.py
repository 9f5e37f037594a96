"""Everything that turns files into cohorts; never fills a missing value and never scales one.

Import the modules (`container`, `study`, `gene_sets`, `gct`, `gtex`, `cbioportal`, `student`, `embedded`, `download`)
rather than this package, which loads nothing.
"""
