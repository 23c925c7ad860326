// usage: node skeletons.js TERRACE WORK EXAMPLES [FOLDER]
//
// Builds descriptors with terrace in the folder WORK, and compares them by value with those of Nunjucks: expressions, the
// entities of EXAMPLES, and the entities that the templates below FOLDER create. tests/real/skeletons calls it.
'use strict';
const {spawnSync} = require('child_process');
const fs = require('fs');
const path = require('path');
const {isDeepStrictEqual} = require('util');
const nunjucks = require('nunjucks');
const yaml = require('yaml');

const parse = (text) => yaml.parse(text, {maxAliasCount: -1, logLevel: 'error'});
const read = (file) => fs.readFileSync(file, 'utf8');
const isMap = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);
const entries = (value) => (isMap(value) ? Object.entries(value) : []);

const write = (file, content) => {
  fs.mkdirSync(path.dirname(file), {recursive: true});
  fs.writeFileSync(file, content);
};

const everyFile = (folder) => fs.readdirSync(folder, {withFileTypes: true}).flatMap((entry) => {
  const at = path.join(folder, entry.name);
  if (entry.isDirectory()) return entry.name === '.git' ? [] : everyFile(at);
  return entry.isFile() ? [at] : [];
});

/** Nunjucks with the delimiters of the scaffolder and of skeletons. */
const engine = (filters = {}) => {
  const made = new nunjucks.Environment(null, {
    autoescape: false, tags: {variableStart: '${{', variableEnd: '}}'},
  });
  Object.entries(filters).forEach(([name, filter]) => made.addFilter(name, filter));
  return made;
};

// --- The platform at creation ---

/** Filters of Backstage's scaffolder. */
const SCAFFOLDER = {
  parseRepoUrl: (url) => {
    const parsed = new URL(`https://${url}`);
    return {host: parsed.host, ...Object.fromEntries(parsed.searchParams)};
  },
  projectSlug: (url) => {
    const query = new URL(`https://${url}`).searchParams;
    return `${query.get('owner')}/${query.get('repo')}`;
  },
  parseEntityRef: (ref) => {
    const [, kind, namespace, name] = /^(?:([^:/]+):)?(?:([^:/]+)\/)?(.+)$/.exec(ref);
    return {kind, namespace: namespace ?? 'default', name};
  },
  pick: (value, key) => value?.[key],
};

/** The expression of a text that is nothing else. */
const onlyExpression = (text) => {
  const found = /^\s*\$\{\{([\s\S]*)\}\}\s*$/.exec(text);
  return found && !/\$\{\{|\}\}|\{%/.test(found[1]) ? found[1] : undefined;
};

/** Evaluates a text as the scaffolder and the platform do: a single expression keeps its type. */
const evaluate = (text, context, filters) => {
  const expression = onlyExpression(text);
  if (expression === undefined) return engine(filters).renderString(text, context);
  let kept;
  const keep = (value) => { kept = value; return ''; };
  engine({...filters, keep}).renderString('${{ (' + expression + ') | keep }}', context);
  return kept;
};

/** The input of a step. The scaffolder leaves out texts that render empty, and keeps texts with errors. */
const stepInput = (node, context) => {
  if (typeof node === 'string') {
    try {
      const value = evaluate(node, context, SCAFFOLDER);
      return value === '' ? undefined : value;
    } catch { return node; }
  }
  if (Array.isArray(node)) return node.map((item) => stepInput(item, context)).filter((item) => item !== undefined);
  if (!isMap(node)) return node;
  const pairs = entries(node).map(([key, value]) => [key, stepInput(value, context)]);
  return Object.fromEntries(pairs.filter(([, value]) => value !== undefined));
};

// --- Answers to the questions of a template ---

const DOMAIN = 'domain:sales';
const SYSTEM = 'system:sales.orders.0';
const RAW = 'urn:dmb:cmp:sales:orders:0:raw';
const OTHER = 'urn:dmb:cmp:finance:ledger:0:entries';
const TEXTS = [
  'orders', 'Orders of the shop', 'https://example.com/orders', '/orders/raw', 'orders-01', '10', 'jane@example.com',
];
/** Texts for questions with a pattern. */
const FORMED = [...TEXTS, 'orders/raw', 'orders/', '{"$jsonSchema": {"bsonType": "object"}}'];
/** Texts that a skeleton must quote. */
const AWKWARD = [
  'Orders: "all", 100 % of them', "it's # not a comment", 'two\nlines', '- 0123', 'naïve ✓ \\ {x}',
];
const BY_PROPERTY = {
  'spec.mesh.name': 'Orders',
  'spec.owner': 'group:sales-dev',
  'spec.domain': DOMAIN,
  'spec.mesh.developmentGroup': 'group:sales-dev',
};

/** The ways in which the questions are answered: `number` selects among alternatives. */
const TURNS = [
  {name: 'required', number: 0, keepsDefaults: true},
  {name: 'defaults', number: 1, all: true, keepsDefaults: true},
  ...[...Array(8).keys()].map((number) => ({name: `choice ${number}`, number, all: true})),
  {name: 'quotes', number: 2, all: true, isAwkward: true},
];

/** The answer to a question. */
const answer = (question, name, turn) => {
  const schema = question ?? {};
  const type = [schema.type ?? (schema.properties ? 'object' : schema.items ? 'array' : 'string')].flat()[0];
  const known = picked(schema, name, turn, type);
  if (known !== undefined) return known;
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[turn.number % schema.enum.length];
  if (schema.default !== undefined && turn.keepsDefaults) return schema.default;
  switch (type) {
    case 'object': return {...(isMap(schema.default) ? schema.default : {}), ...page(schema, turn)};
    case 'array': {
      if (!turn.all) return schema.default ?? [];
      const count = Math.max(schema.minItems ?? 0, turn.number % 3);
      return [...Array(count).keys()].map((n) => answer(schema.items, name, {...turn, number: turn.number + n}));
    }
    case 'boolean': return turn.number % 2 === 0;
    case 'integer': case 'number': {
      const value = schema.default ?? schema.minimum ?? 3;
      return turn.number % 2 && (schema.maximum ?? Infinity) > value ? value + 1 : value;
    }
    default: return textOf(schema, turn);
  }
};

const textOf = (schema, turn) => {
  if (schema.format === 'date-time') return '2026-01-31T08:00:00.000Z';
  if (schema.format === 'date') return '2026-01-31';
  if (schema.format === 'email') return 'jane.roe@example.org';
  const pattern = schema.pattern && new RegExp(schema.pattern);
  const matching = pattern ? FORMED.filter((text) => pattern.test(text)) : TEXTS;
  if (turn.isAwkward && !pattern) return AWKWARD[turn.next.value++ % AWKWARD.length];
  return schema.default ?? matching[turn.number % Math.max(1, matching.length)] ?? 'orders';
};

/** The answer of a field that picks entities, or undefined for another field. */
const picked = (schema, name, turn, type) => {
  const asList = (value) => (type === 'array' ? [value] : value);
  switch (schema['ui:field']) {
    case 'EntityNamePicker': return turn.isAwkward ? 'Orders View' : schema.default ?? 'Orders View';
    case 'ComponentIdentifierPicker': return 'sales.orders.0.orders-view';
    case 'IdentifierPicker': return 'sales.orders.0';
    case 'EntityPicker': {
      const kind = schema['ui:options']?.allowedKinds?.[0];
      const of = {Domain: DOMAIN, System: SYSTEM, User: 'user:jane.roe_example.org', Group: 'group:sales-dev'};
      if (type !== 'object') return asList(of[kind] ?? RAW);
      const mesh = {name: 'Raw', specific: {containers: []}};
      return {kind: 'Component', metadata: {name: 'sales.orders.0.raw'}, spec: {mesh}, value: RAW, label: 'Raw'};
    }
    case 'EntitySelectionPicker':
      if (name === 'domainName') return 'Sales';
      return type === 'string' ? BY_PROPERTY[schema['ui:property']] ?? 'orders' : undefined;
    case 'EntityRelationsPicker': case 'EntityComponentsPicker': return asList(RAW);
    case 'EntitySearchPicker':
      if (name === 'dataproduct') return SYSTEM;
      return schema.type === 'string' ? RAW : [OTHER];
    case 'ReadsFromPicker': return asList(OTHER);
    case 'IdentitiesPicker': return ['user:jane.roe_example.org'];
    case 'CustomUrlPicker': case 'DescriptorPicker': {
      if (schema.properties) return undefined;
      const value = {id: '7', value: 'orders', label: 'orders', name: 'orders'};
      return type === 'array' ? [value] : type === 'string' ? 'orders' : value;
    }
    default: return undefined;
  }
};

/** True if the answers match a condition of a schema. */
const matches = (condition, answers) => {
  const schema = condition ?? {};
  if (schema.not && matches(schema.not, answers)) return false;
  if ((schema.required ?? []).some((name) => answers[name] === undefined)) return false;
  if (schema.allOf && !schema.allOf.every((part) => matches(part, answers))) return false;
  if (schema.anyOf && !schema.anyOf.some((part) => matches(part, answers))) return false;
  return entries(schema.properties).every(([name, part]) => {
    const value = answers[name];
    if (part.const !== undefined) return isDeepStrictEqual(value, part.const);
    if (part.enum) return part.enum.some((one) => isDeepStrictEqual(value, one));
    return isMap(value) && part.properties ? matches(part, value) : true;
  });
};

/** Answers the questions of a page, and those that other answers add. */
const page = (schema, turn, answers = {}) => {
  const required = new Set(schema.required ?? []);
  for (const [name, question] of entries(schema.properties)) {
    const isAsked = turn.all || required.has(name) || question?.default !== undefined
      || question?.['ui:field'] || question?.properties;
    if (answers[name] === undefined && isAsked) answers[name] = answer(question, name, turn);
  }
  for (const [name, dependency] of entries(schema.dependencies)) {
    if (answers[name] === undefined || Array.isArray(dependency)) continue;
    const branches = dependency.oneOf ?? dependency.anyOf ?? [dependency];
    const branch = branches.find((one) => matches({properties: {[name]: one.properties?.[name] ?? {}}}, answers));
    if (branch) page(branch, turn, answers);
  }
  const branches = schema.oneOf ?? schema.anyOf;
  if (branches) page(branches[turn.number % branches.length], turn, answers);
  for (const part of [...(schema.allOf ?? []), ...(schema.if ? [schema] : [])]) {
    if (part.if) {
      const branch = matches(part.if, answers) ? part.then : part.else;
      if (branch) page(branch, turn, answers);
    } else {
      page(part, turn, answers);
    }
  }
  return answers;
};

// --- Templates ---

/** The templates below a folder that create an entity, and the folders of entities that no template uses. */
const templates = (folder) => {
  const found = [];
  const skeletons = new Set(everyFile(folder).filter((file) => path.basename(file) === 'catalog-info.yaml')
    .map((file) => path.dirname(file)).filter((at) => path.basename(at) === 'skeleton'));
  for (const file of everyFile(folder).filter((file) => /\.ya?ml$/.test(file))) {
    if (!/^kind: Template\s*$/m.test(read(file))) continue;
    const template = parse(read(file));
    for (const step of template.spec?.steps ?? []) {
      const skeleton = path.resolve(path.dirname(file), String(step.input?.url ?? ''));
      if (step.action !== 'fetch:template' || !skeletons.has(skeleton)) continue;
      skeletons.delete(skeleton);
      found.push({file, template, step, skeleton});
    }
  }
  return {found, unused: [...skeletons]};
};

const isSkeleton = (text) => text.replace(/^\ufeff/, '').trimStart().startsWith('%SKELETON');

/** Creates the files of an entity as the platform does. `values` of a skeleton stay expressions if `asExpressions`. */
const create = ({template, step, skeleton}, turn, asExpressions, target) => {
  const answers = {};
  const counted = {...turn, next: {value: 0}};
  [template.spec.parameters ?? []].flat().forEach((one) => page(one, counted, answers));
  const values = stepInput(step.input.values, {parameters: answers});
  const isRaw = isSkeleton(read(path.join(skeleton, 'catalog-info.yaml')));
  for (const file of everyFile(skeleton)) {
    const name = path.relative(skeleton, file);
    const content = fs.readFileSync(file);
    const staysRaw = isRaw && ['catalog-info.yaml', 'parameters.yaml'].includes(name) || content.includes(0);
    const render = (text) => engine(SCAFFOLDER).renderString(text, {values});
    write(path.join(target, render(name)), staysRaw ? content : render(content.toString()));
  }
  if (!isRaw) return;
  const file = path.join(target, 'parameters.yaml');
  const own = (fs.existsSync(file) && parse(read(file))) || {};
  // An expression may read what only the step has, such as the name of the organisation.
  const isOfAnswers = ([, value]) => [...String(value).matchAll(/\$\{\{\s*(\w+)/g)].every(([, name]) => name === 'parameters');
  const kept = asExpressions ? Object.fromEntries(entries(step.input.values).filter(isOfAnswers)) : {};
  const sections = {parameters: {...answers, ...own.parameters}, values: {...values, ...kept, ...own.values}};
  write(file, yaml.stringify({...own, ...sections}, {aliasDuplicateObjects: false}));
};

// --- The descriptor, by Nunjucks ---

/** The sections of parameters.yaml. An entry is evaluated when it is read. */
const sections = (file, environment) => {
  const scope = {environment};
  const tree = fs.existsSync(file) ? parse(read(file)) ?? {} : {};
  const lazy = (section) => entries(section).reduce((map, [key, value]) => {
    const state = {};
    return Object.defineProperty(map, key, {enumerable: true, get: () => {
      if (!('value' in state)) {
        if (state.isOpen) throw new Error(`${key} reads itself`);
        state.isOpen = true;
        state.value = typeof value === 'string' ? evaluate(value, scope, {}) : value;
      }
      return state.value;
    }});
  }, {});
  for (const name of ['parameters', 'values', 'readonly']) scope[name] = lazy(tree[name]);
  if (tree.environmentParameters?.[environment]) scope.env = lazy(tree.environmentParameters[environment]);
  // An expression with an error fails even if nothing reads it.
  Object.values(scope).forEach((section) => Object.values(section));
  return scope;
};

const merged = (base, over) => {
  if (!isMap(base) || !isMap(over)) return over;
  const all = {...base};
  for (const [key, value] of entries(over)) all[key] = key in base ? merged(base[key], value) : value;
  return all;
};

/** The entity of a folder for an environment: rendered, and merged with the values of the environment. */
const entity = (folder, environment) => {
  const text = read(path.join(folder, 'catalog-info.yaml'));
  const scope = sections(path.join(folder, 'parameters.yaml'), environment);
  const start = text.indexOf('%SKELETON') + '%SKELETON'.length;
  const tree = parse(isSkeleton(text) ? engine().renderString(text.slice(start), scope) : text);
  const over = path.join(folder, 'environments', environment, 'configurations.yaml');
  const values = fs.existsSync(over) ? parse(read(over)) ?? {} : {};
  if (!isMap(values)) throw new Error('configurations.yaml is not a map');
  if (!isMap(tree?.spec?.mesh)) throw new Error('the entity has no spec.mesh');
  tree.spec.mesh = merged(tree.spec.mesh, values);
  tree.spec.mesh.version ??= scope.readonly.__version__;
  return tree;
};

const urn = (kind, name) => `urn:dmb:${kind}:${String(name).replaceAll('.', ':')}`;

/** The part of the descriptor that comes from an entity. */
const expected = ({kind, metadata, spec}) => {
  const {description, name} = metadata;
  const common = {...spec.mesh, ...(description === undefined ? {} : {description})};
  if (kind === 'System') return {...common, id: urn('dp', name), domain: spec.domain.replace(/^domain:/, '')};
  const id = urn('cmp', name);
  const parts = (spec.components ?? []).map((part) => ({
    id: `${id}:${part.name.toLowerCase().replaceAll(' ', '-')}`, ...part, version: spec.mesh.version,
  }));
  return {kind: spec.type, ...common, id, ...(spec.components ? {components: parts} : {})};
};

/** Fields of the descriptor that the platform adds to an entity. */
const ADDED = ['consumable', 'shoppable', 'components', 'environment', 'projectKind', 'kind', 'domainId', 'devGroup',
  'ownerGroup', 'projectOwner', 'projectOwnerDisplayName', 'dataProductOwnerDisplayName'];

/** The places at which two values differ. */
const differences = (one, other, at = '') => {
  if (isDeepStrictEqual(one, other)) return [];
  if (isMap(one) && isMap(other)) {
    const keys = [...new Set([...Object.keys(one), ...Object.keys(other)])];
    return keys.flatMap((key) => differences(one[key], other[key], `${at}/${key}`));
  }
  if (Array.isArray(one) && Array.isArray(other) && one.length === other.length) {
    return one.flatMap((item, position) => differences(item, other[position], `${at}/${position}`));
  }
  return [`${at}: Nunjucks ${JSON.stringify(one)}, terrace ${JSON.stringify(other)}`];
};

/** Compares the entity in a folder of a project with the descriptor that terrace builds of the project. */
const compare = (terrace, project, folder, environment) => {
  const ran = spawnSync(terrace, ['descriptor', 'build', '.', '--env', environment], {cwd: project, encoding: 'utf8'});
  let judged; let problem;
  try { judged = expected(entity(folder, environment)); } catch (error) { problem = error.message.split('\n').join(' '); }
  const codes = [...(ran.stderr ?? '').matchAll(/^([a-z_]+)\n\s*\n\s*×/gm)].map(([, code]) => code);
  const outcome = {stderr: ran.stderr, problem, codes: [...new Set(codes)]};
  if (ran.status !== 0) return {...outcome, result: problem ? 'both refuse' : 'terrace refuses'};
  if (problem) return {...outcome, result: 'Nunjucks refuses'};
  const product = parse(ran.stdout);
  const built = [product, ...product.components].find((part) => part.id === judged.id);
  if (!built) return {...outcome, result: 'differs', places: [`no ${judged.id}`]};
  const own = Object.fromEntries(entries(built).filter(([key]) => key in judged || !ADDED.includes(key)));
  const places = differences(JSON.parse(JSON.stringify(judged)), own);
  return {...outcome, places, result: places.length ? 'differs' : 'equal'};
};

// --- The run ---

const PRODUCT = `kind: System
metadata: {name: sales.orders.0, description: Orders}
spec: {type: dataproduct, owner: group:sales-dev, domain: domain:sales, mesh: {name: Orders, version: 0.0.0}}
`;
const STORAGE = `kind: Component
metadata: {name: sales.orders.0.raw, description: Raw}
spec:
  type: storage
  system: system:sales.orders.0
  domain: domain:sales
  mesh: {name: Raw, useCaseTemplateId: urn:dmb:utm:raw:0.0.0}
`;

/** The environments of an entity. */
const environments = (folder) => {
  const file = path.join(folder, 'parameters.yaml');
  const own = (fs.existsSync(file) && parse(read(file))?.environmentParameters) || {};
  const at = path.join(folder, 'environments');
  const names = [...(fs.existsSync(at) ? fs.readdirSync(at) : []), ...Object.keys(own)];
  return names.length ? [...new Set(names)] : ['development'];
};

/** Writes the files of a project around the entity in its folder `entity`. Returns the environments. */
const complete = (project) => {
  const folder = path.join(project, 'entity');
  const isProduct = /^kind: System/m.test(read(path.join(folder, 'catalog-info.yaml')));
  if (!isProduct) write(path.join(project, 'orders/catalog-info.yaml'), PRODUCT);
  write(path.join(project, 'raw/catalog-info.yaml'), STORAGE);
  const all = environments(folder);
  const configuration = {environments: Object.fromEntries(all.map((name) => [name, {}]))};
  write(path.join(project, 'terrace.yaml'), yaml.stringify(configuration));
  return all;
};

/** Checks a template with all answers and environments. Returns the outcomes. */
const check = (terrace, work, one) => TURNS.flatMap((turn) => [false, true].flatMap((asExpressions) => {
  const name = turn.name + (asExpressions ? ', expressions' : '');
  const project = path.join(work, name.replaceAll(/\W+/g, '-'));
  const folder = path.join(project, 'entity');
  try { create(one, turn, asExpressions, folder); } catch (error) {
    return [{name, turn, result: 'not created', problem: error.message.split('\n').join(' ')}];
  }
  if (asExpressions && !isSkeleton(read(path.join(folder, 'catalog-info.yaml')))) return [];
  return complete(project).map((environment) => (
    {name, turn, environment, ...compare(terrace, project, folder, environment)}));
}));

/** Expressions that Nunjucks evaluates in its own way. */
const EXPRESSIONS = [
  '1 + 2 + "a"', '"a" + 1 + 2', 'p.no + "/" + p.nil', 'p.text.owner + "/x"', 'p.flag + 1', 'p.nil + 1', 'p.no + 1',
  'p.tags + "!"', 'p.map + "x"', '[1] + [2]', '"5" + 3 - 1', '"a" + 3 - 1', '7 - 1 + 2', '1 + 2 == "3"', '1 - "x" ~ 2',
  'p.no ~ "x" ~ p.count + 1', '"v" + "1" | replace("1", "2")', '"onetwo" | truncate(3)', '"one two three" | truncate(8)',
  '"2026-01-31T08:00:00.000Z" | truncate(19, true, "Z")', 'p.count == "3"', '"10" > 9', '"10" > "9"', 'p.no < 1',
  'p.tags == "a,b"', 'p.text | replace(r/ /g, "_") | lower', 'p.text.split(" ") | reject("equalto", "") | join("-")',
  '"b" in p.tags', 'p.tags.length === 2', '"x" if p.flag else "y"', 'p.no | default("z")', 'p.nil | default("z")',
  '"" | default("z", true)', 'p.map.a.b', 'p.tags[p.count - 2]', 'p.tags | first | upper', '"12px" | int + 1',
  '2.5 | round', '"a b/é" | urlencode', 'p.text | length', '"two\nlines" | indent(2)', 'p.tags.join("+")',
  'p.text.slice(0, 2)', 'p.text.toLocaleLowerCase()',
];

/** Compares expressions, as values of one skeleton. */
const checkExpressions = (terrace, project) => {
  const fields = EXPRESSIONS.map((text, position) => `      e${position}: \${{ (${text}) | dump }}\n`).join('');
  write(path.join(project, 'entity/catalog-info.yaml'), `%SKELETON
{% set p = parameters %}
kind: Component
metadata: {name: sales.orders.0.view, description: View}
spec:
  type: outputport
  system: ${SYSTEM}
  domain: ${DOMAIN}
  mesh:
    name: View
    version: 0.0.0
    useCaseTemplateId: urn:dmb:utm:view:0.0.0
    specific:
${fields}`);
  const parameters = {text: 'My  View', tags: ['a', 'b'], map: {z: 1, a: {b: 'x'}}, count: 3, flag: false, nil: null};
  write(path.join(project, 'entity/parameters.yaml'), yaml.stringify({parameters}));
  return complete(project).map((environment) => (
    {name: 'all', environment, ...compare(terrace, project, path.join(project, 'entity'), environment)}));
};

/** The revision of a checkout. */
const revision = (folder) => {
  const ran = spawnSync('git', ['rev-parse', '--short=10', 'HEAD'], {cwd: folder, encoding: 'utf8'});
  return ran.stdout.trim() || 'unknown';
};

/** The codes of errors that rendering causes. */
const RENDERING = ['template_failed', 'template_limit', 'yaml_syntax', 'missing_dump'];

/** Prints each kind of outcome that needs an explanation once. Returns the result in words, and true for a failure. */
const report = (title, outcomes) => {
  const known = new Set();
  let isFailure = outcomes.length === 0;
  for (const {turn, name, environment, result, problem, places, codes, stderr} of outcomes) {
    const isRendering = result === 'terrace refuses' && (codes.length === 0 || codes.some((code) => RENDERING.includes(code)));
    isFailure ||= isRendering || ['differs', 'Nunjucks refuses', 'not created'].includes(result);
    // Texts that need quotes may break a template.
    const isExpected = result === 'equal' || result === 'both refuse' && turn?.isAwkward;
    const kind = [result, codes, problem, places?.map((place) => place.split(':')[0])].join();
    if (isExpected || known.has(kind)) continue;
    known.add(kind);
    console.log(`${title}: ${name}${environment ? `, ${environment}` : ''}: ${result}`);
    if (problem) console.log(`  Nunjucks: ${problem}`);
    (places ?? []).slice(0, 5).forEach((place) => console.log(`  ${place}`));
    const errors = (stderr ?? '').split(/\n(?=[a-z_]+\n *\n)/).filter((one) => one.includes('×'));
    if (codes?.length) console.log(errors.slice(0, 2).join('\n'));
  }
  const counts = [...new Set(outcomes.map(({result}) => result))].map((result) => {
    const all = outcomes.filter((one) => one.result === result);
    const codes = [...new Set(all.flatMap((one) => (result === 'terrace refuses' ? one.codes : [])))];
    const isQuotes = result === 'both refuse' && all.every(({turn}) => turn?.isAwkward);
    return `${all.length} ${result}${codes.length ? ` (${codes.join(', ')})` : ''}${isQuotes ? ' (texts that need quotes)' : ''}`;
  });
  return {isFailure, text: counts.join(', ') || 'nothing to compare'};
};

const main = ([terrace, work, examples, folder]) => {
  const rows = [];
  let failures = 0;
  const form = (at) => (isSkeleton(read(path.join(at, 'catalog-info.yaml'))) ? 'skeleton' : 'plain');
  const add = (title, commit, kind, outcomes) => {
    const {isFailure, text} = report(title, outcomes);
    failures += Number(isFailure);
    rows.push([title, commit, kind, text]);
  };
  add('expressions', '', 'skeleton', checkExpressions(terrace, path.join(work, 'expressions')));
  for (const file of everyFile(examples).filter((file) => path.basename(file) === 'catalog-info.yaml')) {
    const at = path.dirname(file);
    const outcomes = ['dev', 'prod'].map((environment) => (
      {name: 'all', environment, ...compare(terrace, examples, at, environment)}));
    add(path.relative(path.dirname(examples), at), '', form(at), outcomes);
  }
  if (folder) {
    const {found, unused} = templates(folder);
    for (const [position, one] of found.entries()) {
      const outcomes = check(terrace, path.join(work, String(position)), one);
      add(path.relative(folder, one.file), revision(path.dirname(one.file)), form(one.skeleton), outcomes);
    }
    unused.forEach((at) => rows.push([path.relative(folder, at), revision(at), form(at), 'no template creates it']));
  }
  [['entity', 'revision', 'form', 'result'], ...rows].forEach((row) => console.log(`| ${row.join(' | ')} |`));
  if (!folder) console.log('SKELETONS=FOLDER adds the templates of the checkouts in a folder');
  console.log(failures ? `${failures} of ${rows.length} differ` : `ok ${rows.length} entities`);
  return failures ? 1 : 0;
};

process.exit(main(process.argv.slice(2)));
