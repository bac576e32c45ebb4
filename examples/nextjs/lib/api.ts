/** The backend's routes, typed from its OpenAPI: a wrong path, body or answer does not compile. */

import type { components, paths } from "./api-types";
import { type ApiOptions, apiDelete, apiGet, apiPatch, apiPost } from "./http";

type Method = "get" | "post" | "patch" | "delete";
type PathOf<M extends Method> = {
  [P in keyof paths]: paths[P] extends Record<M, unknown> ? P : never;
}[keyof paths];
type Operation<P extends PathOf<M>, M extends Method> =
  paths[P] extends Record<M, infer O> ? O : never;
type Json<T> = T extends { content: { "application/json": infer Content } } ? Content : undefined;
type Body<O> = O extends { requestBody?: infer B } ? Json<NonNullable<B>> : undefined;
type Answer<O> = O extends { responses: infer R } ? Json<R[keyof R & (200 | 201)]> : undefined;
type Ids = Record<string, string | number>;
type Options = ApiOptions & { ids?: Ids };

type Schemas = components["schemas"];
export type LoginBody = Schemas["AuthLoginBody"];
export type RegisterBody = Schemas["AuthRegisterBody"];
export type PasswordBody = Schemas["AuthPasswordBody"];
export type ProjectBody = Schemas["ProjectBody"];
export type Project = Schemas["ProjectView"];
export type DeviceSession = Schemas["AuthSessionInfo"];
export type Account = Schemas["Account"];

export function get<P extends PathOf<"get">>(path: P, { ids, ...options }: Options = {}) {
  return apiGet<Answer<Operation<P, "get">>>(fill(path, ids), options);
}

export function post<P extends PathOf<"post">>(
  path: P,
  body?: Body<Operation<P, "post">>,
  { ids, ...options }: Options = {},
) {
  return apiPost<Answer<Operation<P, "post">>>(fill(path, ids), body ?? undefined, options);
}

export function patch<P extends PathOf<"patch">>(
  path: P,
  body: Body<Operation<P, "patch">>,
  { ids, ...options }: Options = {},
) {
  return apiPatch<Answer<Operation<P, "patch">>>(fill(path, ids), body, options);
}

export function remove<P extends PathOf<"delete">>(path: P, { ids, ...options }: Options = {}) {
  return apiDelete<Answer<Operation<P, "delete">>>(fill(path, ids), options);
}

/** Put *ids* into the places of a path: /api/projects/{project_id}. */
function fill(path: string, ids: Ids = {}): string {
  return path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(ids[name])));
}
