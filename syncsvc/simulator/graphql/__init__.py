"""The part of GitHub's GraphQL API that a mirror needs, without a library for it.

`language` reads queries, `schema` knows the types, `validation` refuses, `plan` turns a query
into functions and counts its points, `fields` says what each field is, `service` answers.
"""
