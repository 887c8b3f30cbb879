// sql/utility.ts — the statements that are neither queries nor about the session: DDL and maintenance, each with its words
// and whether it can run in a transaction block. A tag that is in no table is unknown, and then not understood.
import type { Access } from './statement.js'
import { type Fields, as, integer, list, stringNode, strings, text } from './tree.js'

export interface Utility {
  readonly kind: 'ddl' | 'utility'
  /** `create table`, `vacuum`: for messages. */
  readonly what: string | ((fields: Fields) => string)
  readonly ownTransaction?: (fields: Fields) => boolean
  /** How relations named outside of queries count. */
  readonly access?: Access
  /** It creates something, which is temporary where its name says so. */
  readonly creates?: boolean
}

const always = (): boolean => true

function ddl(what: Utility['what'], ownTransaction?: (fields: Fields) => boolean): Utility {
  return ownTransaction === undefined ? { kind: 'ddl', what } : { kind: 'ddl', what, ownTransaction }
}

function creates(what: Utility['what']): Utility {
  return { kind: 'ddl', what, creates: true }
}

/** `OBJECT_FOREIGN_TABLE` → `foreign table`. */
function objectWords(type: unknown): string {
  return (text(type) ?? 'object').replace('OBJECT_', '').replace('MATVIEW', 'MATERIALIZED_VIEW').replaceAll('_', ' ').toLowerCase()
}

function on(verb: string, field: string): (fields: Fields) => string {
  return (fields) => `${verb} ${objectWords(fields[field])}`
}

function concurrent(fields: Fields): boolean {
  return fields['concurrent'] === true
}

function detachesConcurrently(fields: Fields): boolean {
  return JSON.stringify(fields['cmds'] ?? '').includes('"concurrent":true')
}

export const utilities: ReadonlyMap<string, Utility> = new Map<string, Utility>(
  Object.entries({
    CreateStmt: creates((fields) => (fields['partbound'] === undefined ? 'create table' : 'create table partition of')),
    CreateForeignTableStmt: creates('create foreign table'),
    CreateTableAsStmt: creates((fields) => `create ${objectWords(fields['objtype'])} as`),
    ViewStmt: creates('create view'),
    CreateSeqStmt: creates('create sequence'),
    CreateFunctionStmt: creates((fields) => (fields['is_procedure'] === true ? 'create procedure' : 'create function')),
    DefineStmt: creates(on('create', 'kind')),
    CreateDomainStmt: creates('create domain'),
    CompositeTypeStmt: creates('create type'),
    CreateEnumStmt: creates('create type'),
    CreateRangeStmt: creates('create type'),
    IndexStmt: ddl('create index', concurrent),
    CreateSchemaStmt: ddl('create schema'),
    CreateExtensionStmt: ddl('create extension'),
    CreateFdwStmt: ddl('create foreign data wrapper'),
    CreateForeignServerStmt: ddl('create server'),
    CreateUserMappingStmt: ddl('create user mapping'),
    CreatePolicyStmt: ddl('create policy'),
    CreateAmStmt: ddl('create access method'),
    CreateTrigStmt: ddl('create trigger'),
    CreateEventTrigStmt: ddl('create event trigger'),
    CreatePLangStmt: ddl('create language'),
    CreateRoleStmt: ddl('create role'),
    CreateOpClassStmt: ddl('create operator class'),
    CreateOpFamilyStmt: ddl('create operator family'),
    CreateStatsStmt: ddl('create statistics'),
    CreateConversionStmt: ddl('create conversion'),
    CreateCastStmt: ddl('create cast'),
    CreateTransformStmt: ddl('create transform'),
    CreatePublicationStmt: ddl('create publication'),
    CreateSubscriptionStmt: ddl('create subscription', always),
    CreateTableSpaceStmt: ddl('create tablespace', always),
    CreatedbStmt: ddl('create database', always),
    RuleStmt: ddl('create rule'),
    AlterTableStmt: ddl(on('alter', 'objtype'), detachesConcurrently),
    AlterTableMoveAllStmt: ddl('alter table all in tablespace'),
    AlterTableSpaceOptionsStmt: ddl('alter tablespace'),
    AlterCollationStmt: ddl('alter collation'),
    AlterDomainStmt: ddl('alter domain'),
    AlterDefaultPrivilegesStmt: ddl('alter default privileges'),
    AlterExtensionStmt: ddl('alter extension'),
    AlterExtensionContentsStmt: ddl('alter extension'),
    AlterFdwStmt: ddl('alter foreign data wrapper'),
    AlterForeignServerStmt: ddl('alter server'),
    AlterUserMappingStmt: ddl('alter user mapping'),
    AlterPolicyStmt: ddl('alter policy'),
    AlterEventTrigStmt: ddl('alter event trigger'),
    AlterRoleStmt: ddl('alter role'),
    AlterRoleSetStmt: ddl('alter role'),
    AlterSeqStmt: ddl('alter sequence'),
    AlterOpFamilyStmt: ddl('alter operator family'),
    AlterStatsStmt: ddl('alter statistics'),
    AlterFunctionStmt: ddl('alter function'),
    AlterObjectDependsStmt: ddl(on('alter', 'objectType')),
    AlterObjectSchemaStmt: ddl(on('alter', 'objectType')),
    AlterOwnerStmt: ddl(on('alter', 'objectType')),
    AlterOperatorStmt: ddl('alter operator'),
    AlterTypeStmt: ddl('alter type'),
    AlterEnumStmt: ddl('alter type'),
    AlterDatabaseStmt: ddl('alter database', always),
    AlterDatabaseRefreshCollStmt: ddl('alter database'),
    AlterDatabaseSetStmt: ddl('alter database'),
    AlterTSDictionaryStmt: ddl('alter text search dictionary'),
    AlterTSConfigurationStmt: ddl('alter text search configuration'),
    AlterPublicationStmt: ddl('alter publication'),
    AlterSubscriptionStmt: ddl('alter subscription', always),
    RenameStmt: ddl(on('alter', 'renameType')),
    DropStmt: ddl(on('drop', 'removeType'), concurrent),
    DropTableSpaceStmt: ddl('drop tablespace', always),
    DropUserMappingStmt: ddl('drop user mapping'),
    DropRoleStmt: ddl('drop role'),
    DropdbStmt: ddl('drop database', always),
    DropOwnedStmt: ddl('drop owned'),
    DropSubscriptionStmt: ddl('drop subscription', always),
    ReassignOwnedStmt: ddl('reassign owned'),
    TruncateStmt: { kind: 'ddl', what: 'truncate', access: 'write' },
    CommentStmt: ddl('comment'),
    SecLabelStmt: ddl('security label'),
    GrantStmt: ddl((fields) => (fields['is_grant'] === true ? 'grant' : 'revoke')),
    GrantRoleStmt: ddl((fields) => (fields['is_grant'] === true ? 'grant' : 'revoke')),
    ImportForeignSchemaStmt: ddl('import foreign schema'),
    RefreshMatViewStmt: { kind: 'ddl', what: 'refresh materialized view', access: 'write' },
    AlterSystemStmt: { kind: 'utility', what: 'alter system', ownTransaction: always },
    // ANALYZE may run in a transaction block, VACUUM may not.
    VacuumStmt: {
      kind: 'utility',
      what: (fields) => (fields['is_vacuumcmd'] === true ? 'vacuum' : 'analyze'),
      ownTransaction: (fields) => fields['is_vacuumcmd'] === true,
      access: 'write',
    },
    // Of one plain table these two may run in a block; of partitioned ones, or of all, they may not.
    ClusterStmt: { kind: 'utility', what: 'cluster', ownTransaction: always, access: 'write' },
    ReindexStmt: { kind: 'utility', what: 'reindex', ownTransaction: always, access: 'write' },
    CheckPointStmt: { kind: 'utility', what: 'checkpoint' },
    ConstraintsSetStmt: { kind: 'utility', what: 'set constraints', access: 'read' },
  } satisfies Record<string, Utility>),
)

const relationTypes: ReadonlySet<unknown> = new Set([
  'OBJECT_TABLE',
  'OBJECT_FOREIGN_TABLE',
  'OBJECT_VIEW',
  'OBJECT_MATVIEW',
  'OBJECT_SEQUENCE',
  'OBJECT_INDEX',
])
/** Objects of a relation: their own name stands last, behind the relation's. */
const partTypes: ReadonlySet<unknown> = new Set(['OBJECT_TRIGGER', 'OBJECT_RULE', 'OBJECT_POLICY', 'OBJECT_COLUMN', 'OBJECT_TABCONSTRAINT'])

/** Relations that a statement names by lists of strings: DROP, COMMENT ON, SECURITY LABEL. */
export function listedRelations(tag: string, fields: Fields): readonly (readonly string[])[] {
  const type = tag === 'DropStmt' ? fields['removeType'] : tag === 'CommentStmt' || tag === 'SecLabelStmt' ? fields['objtype'] : null
  const part = partTypes.has(type)
  if (!part && !relationTypes.has(type)) return []
  const objects = tag === 'DropStmt' ? list(fields['objects']) : [fields['object']]
  return objects.flatMap((object) => {
    const names = strings(as('List', object)?.['items'])
    const relation = part ? names?.slice(0, -1) : names
    return relation === undefined || relation === null || relation.length === 0 ? [] : [relation]
  })
}

/** Whether the name of what is created begins with pg_temp, in the statements that hold it as a list of strings. */
export function namedTemporary(fields: Fields): boolean {
  return ['funcname', 'defnames', 'domainname', 'typeName'].some((field) => {
    const names = list(fields[field])
    return names.length > 1 && stringNode(names[0]) === 'pg_temp'
  })
}

/** WITH HOLD among a cursor's options. */
export function isHeld(options: unknown): boolean {
  return (integer(options) & 0x20) !== 0
}
