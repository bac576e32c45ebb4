/** The backend's routes, typed from its OpenAPI: a wrong path, body or answer does not compile. */

import type { components, paths } from "./api-types";
import { type ApiOptions, apiDelete, apiGet, apiPatch, apiPost, apiPut } from "./http";

type Method = "get" | "post" | "put" | "patch" | "delete";
type PathOf<M extends Method> = {
  [P in keyof paths]: paths[P] extends Record<M, unknown> ? P : never;
}[keyof paths];
type Operation<P extends PathOf<M>, M extends Method> =
  paths[P] extends Record<M, infer O> ? O : never;
type Json<T> = T extends { content: { "application/json": infer Content } } ? Content : undefined;
type Body<O> = O extends { requestBody?: infer B } ? Json<NonNullable<B>> : undefined;
type Answer<O> = O extends { responses: infer R } ? Json<R[keyof R & (200 | 201)]> : undefined;
type Ids = Record<string, string | number>;

export type Project = components["schemas"]["ProjectView"];
export type DeviceSession = components["schemas"]["SessionInfo"];
export type Account = components["schemas"]["Account"];

export function get<P extends PathOf<"get">>(path: P, ids?: Ids) {
  return apiGet<Answer<Operation<P, "get">>>(fill(path, ids));
}

export function post<P extends PathOf<"post">>(
  path: P,
  body?: Body<Operation<P, "post">>,
  ids?: Ids,
  options?: ApiOptions,
) {
  return apiPost<Answer<Operation<P, "post">>>(fill(path, ids), body ?? undefined, options);
}

export function put<P extends PathOf<"put">>(path: P, body: Body<Operation<P, "put">>, ids: Ids) {
  return apiPut<Answer<Operation<P, "put">>>(fill(path, ids), body, undefined);
}

export function patch<P extends PathOf<"patch">>(
  path: P,
  body: Body<Operation<P, "patch">>,
  ids: Ids,
) {
  return apiPatch<Answer<Operation<P, "patch">>>(fill(path, ids), body);
}

export function remove<P extends PathOf<"delete">>(path: P, ids?: Ids) {
  return apiDelete<Answer<Operation<P, "delete">>>(fill(path, ids));
}

/** Put *ids* into the places of a path: /api/projects/{project_id}. */
function fill(path: string, ids: Ids = {}): string {
  return path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(ids[name])));
}
