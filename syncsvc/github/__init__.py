"""The GitHub REST client: `client` asks, `payloads` are the answers, `errors` what can go wrong.

Hides GitHub. Nothing in here knows Django; what has to be kept goes through small Protocols
(`TokenStore`, `BudgetStore`, `EtagStore`), which `memory` implements for tests and checks.
"""
