"""The types, fields and arguments that the simulator speaks: a small part of GitHub's schema.

What is said here is said so by GitHub too; a field that is missing is refused as unknown.
"""

PAGE = "after: String, before: String, first: Int, last: Int"

SCHEMA = f"""
scalar DateTime
scalar URI
scalar GitObjectID
scalar GitTimestamp
scalar BigInt

enum OrderDirection {{ ASC DESC }}
enum IssueState {{ CLOSED OPEN }}
enum IssueStateReason {{ COMPLETED DUPLICATE NOT_PLANNED REOPENED }}
enum PullRequestState {{ CLOSED MERGED OPEN }}
enum IssueOrderField {{ COMMENTS CREATED_AT UPDATED_AT }}
enum LabelOrderField {{ CREATED_AT NAME }}
enum LanguageOrderField {{ SIZE }}
enum RepositoryOrderField {{ CREATED_AT NAME PUSHED_AT STARGAZERS UPDATED_AT }}
enum RepositoryAffiliation {{ COLLABORATOR ORGANIZATION_MEMBER OWNER }}
enum RepositoryPrivacy {{ PRIVATE PUBLIC }}
enum RepositoryVisibility {{ INTERNAL PRIVATE PUBLIC }}
enum CommentAuthorAssociation {{
  COLLABORATOR CONTRIBUTOR FIRST_TIMER FIRST_TIME_CONTRIBUTOR MANNEQUIN MEMBER NONE OWNER
}}

input IssueOrder {{ direction: OrderDirection!, field: IssueOrderField! }}
input LabelOrder {{ direction: OrderDirection!, field: LabelOrderField! }}
input LanguageOrder {{ direction: OrderDirection!, field: LanguageOrderField! }}
input RepositoryOrder {{ direction: OrderDirection!, field: RepositoryOrderField! }}
input IssueFilters {{
  assignee: String, createdBy: String, labels: [String!], mentioned: String, milestone: String
  milestoneNumber: String, since: DateTime, states: [IssueState!], viewerSubscribed: Boolean = false
}}
input CommitAuthor {{ emails: [String!], id: ID }}

interface Node {{ id: ID! }}
interface Actor {{ avatarUrl(size: Int): URI!, login: String!, resourcePath: URI!, url: URI! }}
interface GitObject {{
  abbreviatedOid: String!, commitUrl: URI!, id: ID!, oid: GitObjectID!, repository: Repository!
}}
interface RepositoryOwner {{
  avatarUrl(size: Int): URI!, id: ID!, login: String!, resourcePath: URI!, url: URI!
  repositories({PAGE}, affiliations: [RepositoryAffiliation], hasIssuesEnabled: Boolean,
    isArchived: Boolean, isFork: Boolean, isLocked: Boolean, orderBy: RepositoryOrder,
    ownerAffiliations: [RepositoryAffiliation] = [OWNER, COLLABORATOR],
    privacy: RepositoryPrivacy, visibility: RepositoryVisibility): RepositoryConnection!
  repository(followRenames: Boolean = true, name: String!): Repository
}}
union IssueOrPullRequest = Issue | PullRequest

type Query {{
  node(id: ID!): Node
  nodes(ids: [ID!]!): [Node]!
  organization(login: String!): Organization
  rateLimit(dryRun: Boolean = false): RateLimit
  repository(followRenames: Boolean = true, name: String!, owner: String!): Repository
  repositoryOwner(login: String!): RepositoryOwner
  user(login: String!): User
  viewer: User!
}}
type RateLimit {{
  cost: Int!, limit: Int!, nodeCount: Int!, remaining: Int!, resetAt: DateTime!, used: Int!
}}
type PageInfo {{
  endCursor: String, hasNextPage: Boolean!, hasPreviousPage: Boolean!, startCursor: String
}}

type User implements Actor & Node & RepositoryOwner {{
  avatarUrl(size: Int): URI!, createdAt: DateTime!, databaseId: Int, email: String!, id: ID!
  location: String, login: String!, name: String, resourcePath: URI!, updatedAt: DateTime!, url: URI!
  repositories({PAGE}, affiliations: [RepositoryAffiliation], hasIssuesEnabled: Boolean,
    isArchived: Boolean, isFork: Boolean, isLocked: Boolean, orderBy: RepositoryOrder,
    ownerAffiliations: [RepositoryAffiliation] = [OWNER, COLLABORATOR],
    privacy: RepositoryPrivacy, visibility: RepositoryVisibility): RepositoryConnection!
  repository(followRenames: Boolean = true, name: String!): Repository
}}
type Organization implements Actor & Node & RepositoryOwner {{
  avatarUrl(size: Int): URI!, createdAt: DateTime!, databaseId: Int, description: String, id: ID!
  location: String, login: String!, name: String, resourcePath: URI!, updatedAt: DateTime!, url: URI!
  repositories({PAGE}, affiliations: [RepositoryAffiliation], hasIssuesEnabled: Boolean,
    isArchived: Boolean, isFork: Boolean, isLocked: Boolean, orderBy: RepositoryOrder,
    ownerAffiliations: [RepositoryAffiliation] = [OWNER, COLLABORATOR],
    privacy: RepositoryPrivacy, visibility: RepositoryVisibility): RepositoryConnection!
  repository(followRenames: Boolean = true, name: String!): Repository
}}
type Bot implements Actor & Node {{
  avatarUrl(size: Int): URI!, createdAt: DateTime!, databaseId: Int, id: ID!, login: String!
  resourcePath: URI!, updatedAt: DateTime!, url: URI!
}}

type Repository implements Node {{
  createdAt: DateTime!, databaseId: Int, defaultBranchRef: Ref, description: String, diskUsage: Int
  forkCount: Int!, hasIssuesEnabled: Boolean!, homepageUrl: URI, id: ID!, isArchived: Boolean!
  isDisabled: Boolean!, isEmpty: Boolean!, isFork: Boolean!, isInOrganization: Boolean!
  isLocked: Boolean!, isMirror: Boolean!, isPrivate: Boolean!, isTemplate: Boolean!
  issue(number: Int!): Issue
  issueOrPullRequest(number: Int!): IssueOrPullRequest
  issues({PAGE}, filterBy: IssueFilters, labels: [String!], orderBy: IssueOrder,
    states: [IssueState!]): IssueConnection!
  labels({PAGE}, orderBy: LabelOrder = {{ field: CREATED_AT, direction: ASC }},
    query: String): LabelConnection
  languages({PAGE}, orderBy: LanguageOrder): LanguageConnection
  licenseInfo: License, name: String!, nameWithOwner: String!
  object(expression: String, oid: GitObjectID): GitObject
  owner: RepositoryOwner!, primaryLanguage: Language
  pullRequest(number: Int!): PullRequest
  pullRequests({PAGE}, baseRefName: String, headRefName: String, labels: [String!],
    orderBy: IssueOrder, states: [PullRequestState!]): PullRequestConnection!
  pushedAt: DateTime, ref(qualifiedName: String!): Ref
  repositoryTopics({PAGE}): RepositoryTopicConnection!
  resourcePath: URI!, stargazerCount: Int!, updatedAt: DateTime!, url: URI!
  visibility: RepositoryVisibility!
}}
type License implements Node {{ id: ID!, key: String!, name: String!, spdxId: String, url: URI }}
type Language implements Node {{ color: String, id: ID!, name: String! }}
type Topic implements Node {{ id: ID!, name: String! }}
type RepositoryTopic implements Node {{ id: ID!, resourcePath: URI!, topic: Topic!, url: URI! }}
type Label implements Node {{
  color: String!, description: String, id: ID!, isDefault: Boolean!, name: String!, url: URI!
}}

type Issue implements Node {{
  assignees({PAGE}): UserConnection!
  author: Actor, authorAssociation: CommentAuthorAssociation!, body: String!, bodyText: String!
  closed: Boolean!, closedAt: DateTime, createdAt: DateTime!, databaseId: Int
  fullDatabaseId: BigInt, id: ID!
  labels({PAGE}, orderBy: LabelOrder = {{ field: CREATED_AT, direction: ASC }}): LabelConnection
  locked: Boolean!, number: Int!, repository: Repository!, resourcePath: URI!, state: IssueState!
  stateReason(enableDuplicate: Boolean = false): IssueStateReason
  title: String!, updatedAt: DateTime!, url: URI!
}}
type PullRequest implements Node {{
  assignees({PAGE}): UserConnection!
  author: Actor, authorAssociation: CommentAuthorAssociation!, baseRefName: String!
  baseRefOid: GitObjectID!, baseRepository: Repository, body: String!, bodyText: String!
  closed: Boolean!, closedAt: DateTime, createdAt: DateTime!, databaseId: Int
  fullDatabaseId: BigInt, headRefName: String!, headRefOid: GitObjectID!
  headRepository: Repository, headRepositoryOwner: RepositoryOwner, id: ID!
  isCrossRepository: Boolean!, isDraft: Boolean!
  labels({PAGE}, orderBy: LabelOrder = {{ field: CREATED_AT, direction: ASC }}): LabelConnection
  locked: Boolean!, mergeCommit: Commit, merged: Boolean!, mergedAt: DateTime, mergedBy: Actor
  number: Int!, potentialMergeCommit: Commit, repository: Repository!, resourcePath: URI!
  state: PullRequestState!, title: String!, updatedAt: DateTime!, url: URI!
}}

type Ref implements Node {{
  id: ID!, name: String!, prefix: String!, repository: Repository!, target: GitObject
}}
type GitActor {{
  avatarUrl(size: Int): URI!, date: GitTimestamp, email: String, name: String, user: User
}}
type Commit implements GitObject & Node {{
  abbreviatedOid: String!, additions: Int!, author: GitActor, authoredDate: DateTime!
  commitUrl: URI!, committedDate: DateTime!, committer: GitActor, deletions: Int!
  history({PAGE}, author: CommitAuthor, path: String, since: GitTimestamp,
    until: GitTimestamp): CommitHistoryConnection!
  id: ID!, message: String!, messageBody: String!, messageHeadline: String!, oid: GitObjectID!
  parents({PAGE}): CommitConnection!
  repository: Repository!, tree: Tree!, url: URI!
}}
type Tree implements GitObject & Node {{
  abbreviatedOid: String!, commitUrl: URI!, entries: [TreeEntry!], id: ID!, oid: GitObjectID!
  repository: Repository!
}}
type Blob implements GitObject & Node {{
  abbreviatedOid: String!, byteSize: Int!, commitUrl: URI!, id: ID!, isBinary: Boolean
  oid: GitObjectID!, repository: Repository!, text: String
}}
type TreeEntry {{
  mode: Int!, name: String!, object: GitObject, oid: GitObjectID!, path: String
  repository: Repository!, size: Int!, type: String!
}}

type RepositoryConnection {{
  edges: [RepositoryEdge], nodes: [Repository], pageInfo: PageInfo!, totalCount: Int!
  totalDiskUsage: Int!
}}
type RepositoryEdge {{ cursor: String!, node: Repository }}
type IssueConnection {{ edges: [IssueEdge], nodes: [Issue], pageInfo: PageInfo!, totalCount: Int! }}
type IssueEdge {{ cursor: String!, node: Issue }}
type PullRequestConnection {{
  edges: [PullRequestEdge], nodes: [PullRequest], pageInfo: PageInfo!, totalCount: Int!
}}
type PullRequestEdge {{ cursor: String!, node: PullRequest }}
type LabelConnection {{ edges: [LabelEdge], nodes: [Label], pageInfo: PageInfo!, totalCount: Int! }}
type LabelEdge {{ cursor: String!, node: Label }}
type UserConnection {{ edges: [UserEdge], nodes: [User], pageInfo: PageInfo!, totalCount: Int! }}
type UserEdge {{ cursor: String!, node: User }}
type LanguageConnection {{
  edges: [LanguageEdge], nodes: [Language], pageInfo: PageInfo!, totalCount: Int!, totalSize: Int!
}}
type LanguageEdge {{ cursor: String!, node: Language!, size: Int! }}
type RepositoryTopicConnection {{
  edges: [RepositoryTopicEdge], nodes: [RepositoryTopic], pageInfo: PageInfo!, totalCount: Int!
}}
type RepositoryTopicEdge {{ cursor: String!, node: RepositoryTopic }}
type CommitHistoryConnection {{
  edges: [CommitEdge], nodes: [Commit], pageInfo: PageInfo!, totalCount: Int!
}}
type CommitConnection {{ edges: [CommitEdge], nodes: [Commit], pageInfo: PageInfo!, totalCount: Int! }}
type CommitEdge {{ cursor: String!, node: Commit }}
"""
