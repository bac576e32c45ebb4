// Made by `npm run types` from the backend's OpenAPI. Do not edit.


export interface paths {
  "/auth/register": {
    /**
     * Sign up
     * @description Make an account and sign it in.
     */
    post: operations["register"];
  };
  "/auth/login": {
    /**
     * Sign in
     * @description Sign in with e-mail and password.
     */
    post: operations["login"];
  };
  "/auth/token": {
    /**
     * Sign in or refresh as an OAuth2 client
     * @description Sign in or refresh as an OAuth2 client does (RFC 6749 sections 4.3 and 6).
     *
     * Meant for OAuth2 client libraries and for the Authorize button of the API docs.
     */
    post: operations["createToken"];
  };
  "/auth/refresh": {
    /**
     * Refresh the tokens
     * @description Get a new access token, and the refresh token to use next time.
     *
     * Two requests with one refresh token, at the same moment or after a lost answer, get the
     * same successor.
     */
    post: operations["refresh"];
  };
  "/auth/logout": {
    /**
     * Sign out
     * @description End the session of the access token, of the refresh token, or of both.
     *
     * As in RFC 7009 section 2.2, an invalid token is not an error, not even a forged one.
     */
    post: operations["logout"];
  };
  "/auth/me": {
    /**
     * Show your account
     * @description Show the caller's account.
     */
    get: operations["getMe"];
  };
  "/auth/session": {
    /**
     * Tell who is signed in, if anybody
     * @description Tell who is signed in; nobody is no error, so a page can ask this first.
     *
     * It changes nothing, except that a spent refresh token ends its session. Where the access token
     * is over and the refresh token is not, ``expires_in`` is 0 and ``user`` null until the page has
     * refreshed.
     */
    get: operations["getSession"];
  };
  "/auth/password": {
    /**
     * Change your password
     * @description Change the caller's password; every other session ends, this one goes on as a new one.
     */
    post: operations["changePassword"];
  };
  "/auth/logout-all": {
    /**
     * Sign out everywhere
     * @description End all of the caller's sessions, this one included.
     */
    post: operations["logoutAll"];
  };
  "/auth/sessions": {
    /**
     * List your sessions
     * @description List the caller's live sessions, newest first: one for each device signed in.
     *
     * An answer holds at most 100. To get those behind it, repeat the request with the id of its
     * last session as ``after``, until an answer is empty.
     */
    get: operations["listSessions"];
    /**
     * End your other sessions
     * @description End all of the caller's sessions but this one.
     */
    delete: operations["endOtherSessions"];
  };
  "/auth/sessions/{session_id}": {
    /**
     * End one of your sessions
     * @description End one of the caller's sessions, on a lost phone for example.
     */
    delete: operations["endSession"];
  };
  "/api/projects": {
    /**
     * List Projects
     * @description List the caller's projects, oldest first.
     */
    get: operations["list_projects_api_projects_get"];
    /**
     * Create Project
     * @description Make a project of the caller's own.
     */
    post: operations["create_project_api_projects_post"];
  };
  "/api/projects/{project_id}": {
    /**
     * Get Project
     * @description Show a project.
     */
    get: operations["get_project_api_projects__project_id__get"];
    /**
     * Update Project
     * @description Replace the name and the description.
     */
    put: operations["update_project_api_projects__project_id__put"];
    /**
     * Delete Project
     * @description Delete a project.
     */
    delete: operations["delete_project_api_projects__project_id__delete"];
  };
  "/api/{user_id}/tasks": {
    /**
     * List Tasks
     * @description List the caller's tasks, oldest first.
     */
    get: operations["list_tasks_api__user_id__tasks_get"];
    /**
     * Create Task
     * @description Make a task.
     */
    post: operations["create_task_api__user_id__tasks_post"];
  };
  "/api/{user_id}/tasks/{task_id}": {
    /**
     * Get Task
     * @description Show a task.
     */
    get: operations["get_task_api__user_id__tasks__task_id__get"];
    /**
     * Delete Task
     * @description Delete a task.
     */
    delete: operations["delete_task_api__user_id__tasks__task_id__delete"];
  };
  "/api/{user_id}/tasks/{task_id}/complete": {
    /**
     * Complete Task
     * @description Mark a task as done; done twice, it stays done.
     */
    patch: operations["complete_task_api__user_id__tasks__task_id__complete_patch"];
  };
  "/api/admin/users": {
    /**
     * List Users
     * @description List all users, oldest first.
     */
    get: operations["list_users_api_admin_users_get"];
  };
  "/api/admin/users/{user_id}": {
    /**
     * Change Role
     * @description Make a user an administrator, or an administrator a user.
     */
    patch: operations["change_role_api_admin_users__user_id__patch"];
  };
  "/api/admin/users/{user_id}/disable": {
    /**
     * Disable User
     * @description Lock an account and end its sessions.
     */
    post: operations["disable_user_api_admin_users__user_id__disable_post"];
  };
  "/api/admin/users/{user_id}/enable": {
    /**
     * Enable User
     * @description Let a user sign in again.
     */
    post: operations["enable_user_api_admin_users__user_id__enable_post"];
  };
  "/health": {
    /**
     * Health
     * @description Answer that the application runs.
     */
    get: operations["health_health_get"];
  };
}

export type webhooks = Record<string, never>;

export interface components {
  schemas: {
    /**
     * Account
     * @description A user, as administrators see one.
     */
    Account: {
      /** User Id */
      user_id: string;
      /** Email */
      email: string;
      /** Display Name */
      display_name: string;
      /** Role */
      role: string;
      /** Is Active */
      is_active: boolean;
    };
    /**
     * AuthErrorBody
     * @description Body of every AuthError.
     */
    AuthErrorBody: {
      detail: components["schemas"]["AuthErrorDetail"];
    };
    /**
     * AuthErrorDetail
     * @description What went wrong: a stable code for programs, a sentence for people.
     */
    AuthErrorDetail: {
      /**
       * Code
       * @enum {string}
       */
      code: "body_too_large" | "busy" | "cross_site_request" | "email_taken" | "forbidden" | "insufficient_role" | "insufficient_scope" | "invalid_credentials" | "invalid_email" | "invalid_token" | "keys_unavailable" | "not_authenticated" | "not_json" | "not_owner" | "recent_login_required" | "refresh_reused" | "service_unavailable" | "session_expired" | "session_not_found" | "session_revoked" | "store_unavailable" | "token_expired" | "token_revoked" | "too_many_attempts" | "unauthorized" | "user_not_found" | "weak_password" | "wrong_token_type";
      /** Message */
      message: string;
    };
    /**
     * AuthLoginBody
     * @description Who signs in.
     */
    AuthLoginBody: {
      /** Email */
      email: string;
      /**
       * Password
       * Format: password
       */
      password: string;
    };
    /**
     * AuthPasswordBody
     * @description A change of password.
     */
    AuthPasswordBody: {
      /**
       * Current Password
       * Format: password
       */
      current_password: string;
      /**
       * New Password
       * Format: password
       */
      new_password: string;
    };
    /**
     * AuthProfile
     * @description The account of the caller, as it is now.
     */
    AuthProfile: {
      /** User Id */
      user_id: string;
      /** Email */
      email: string;
      /** Display Name */
      display_name: string | null;
      /** Role */
      role: string;
    };
    /**
     * AuthRefreshBody
     * @description The refresh token, where the client keeps it.
     */
    AuthRefreshBody: {
      /** Refresh Token */
      refresh_token?: string | null;
    };
    /**
     * AuthRegisterBody
     * @description A new account. Anything else in the body, a role for example, is ignored.
     */
    AuthRegisterBody: {
      /**
       * Email
       * Format: email
       */
      email: string;
      /**
       * Password
       * Format: password
       */
      password: string;
      /**
       * Display Name
       * @description By default the part of the address before the @.
       */
      display_name?: string | null;
    };
    /**
     * AuthSessionBody
     * @description Who is signed in, if anybody.
     */
    AuthSessionBody: {
      user: components["schemas"]["AuthProfile"] | null;
      /**
       * Expires In
       * @description Seconds the access token still lives. 0: refresh first. null: sign in.
       */
      expires_in: number | null;
    };
    /**
     * AuthSessionInfo
     * @description A device that is signed in.
     */
    AuthSessionInfo: {
      /** Id */
      id: string;
      /** Ip */
      ip: string | null;
      /** User Agent */
      user_agent: string | null;
      /**
       * Created At
       * Format: date-time
       */
      created_at: string;
      /**
       * Last Seen At
       * Format: date-time
       * @description When a token was refreshed or first used, to the hour; not before created_at.
       */
      last_seen_at: string;
      /**
       * Expires At
       * Format: date-time
       * @description When it ends unless it is refreshed, to the hour.
       */
      expires_at: string;
      /**
       * Current
       * @description Whether it is the one that asks.
       */
      current: boolean;
    };
    /**
     * AuthSignedInBody
     * @description The user and the tokens of a session; where cookies carry the tokens, they are left out.
     */
    AuthSignedInBody: {
      /** User Id */
      user_id: string;
      /** Email */
      email: string;
      /** Display Name */
      display_name: string | null;
      /** Role */
      role: string;
      /**
       * Expires In
       * @description Life of the access token in seconds.
       */
      expires_in: number;
      /** Access Token */
      access_token: string;
      /** Refresh Token */
      refresh_token: string;
      /**
       * Token Type
       * @constant
       */
      token_type: "bearer";
    };
    /**
     * AuthTokenBody
     * @description Answer of the token endpoint (RFC 6749 section 5.1).
     */
    AuthTokenBody: {
      /** Access Token */
      access_token: string;
      /** Refresh Token */
      refresh_token: string;
      /**
       * Token Type
       * @constant
       */
      token_type: "bearer";
      /** Expires In */
      expires_in: number;
      /**
       * Scope
       * @description What was granted; left out where nobody asked and none is.
       * @default
       */
      scope?: string;
    };
    /**
     * AuthTokenError
     * @description Refusal of the token endpoint (RFC 6749 section 5.2).
     */
    AuthTokenError: {
      /**
       * Error
       * @enum {string}
       */
      error: "invalid_request" | "invalid_grant" | "unsupported_grant_type";
      /** Error Description */
      error_description: string;
    };
    /** HTTPValidationError */
    HTTPValidationError: {
      /** Detail */
      detail?: components["schemas"]["ValidationError"][];
    };
    /**
     * Health
     * @description A sign of life.
     */
    Health: {
      /**
       * Status
       * @default ok
       * @constant
       */
      status?: "ok";
    };
    /**
     * NoTextBody
     * @description Body of FastAPI's answer to bytes that are no text.
     */
    NoTextBody: {
      /** Detail */
      detail: string;
    };
    /**
     * NotFoundBody
     * @description Body of every NotFound.
     */
    NotFoundBody: {
      /**
       * Detail
       * @constant
       */
      detail: "Not found";
    };
    /**
     * ProjectBody
     * @description What the owner may choose.
     */
    ProjectBody: {
      /** Name */
      name: string;
      /**
       * Description
       * @default
       */
      description?: string;
    };
    /**
     * ProjectView
     * @description What the owner sees.
     */
    ProjectView: {
      /** Id */
      id: number;
      /** Name */
      name: string;
      /** Description */
      description: string;
    };
    /**
     * RoleBody
     * @description The new role.
     */
    RoleBody: {
      /**
       * Role
       * @enum {string}
       */
      role: "user" | "admin";
    };
    /**
     * TaskBody
     * @description What the owner may choose.
     */
    TaskBody: {
      /** Title */
      title: string;
    };
    /**
     * TaskView
     * @description What the owner sees.
     */
    TaskView: {
      /** Id */
      id: number;
      /** Title */
      title: string;
      /** Completed */
      completed: boolean;
    };
    /** ValidationError */
    ValidationError: {
      /** Location */
      loc: (string | number)[];
      /** Message */
      msg: string;
      /** Error Type */
      type: string;
      /** Input */
      input?: unknown;
      /** Context */
      ctx?: Record<string, never>;
    };
  };
  responses: never;
  parameters: never;
  requestBodies: never;
  headers: never;
  pathItems: never;
}

export type $defs = Record<string, never>;

export type external = Record<string, never>;

export interface operations {

  /**
   * Sign up
   * @description Make an account and sign it in.
   */
  register: {
    requestBody: {
      content: {
        "application/json": components["schemas"]["AuthRegisterBody"];
      };
    };
    responses: {
      /** @description Successful Response */
      201: {
        content: {
          "application/json": components["schemas"]["AuthSignedInBody"];
        };
      };
      /** @description This e-mail address is already registered */
      409: {
        headers: {
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description The body is too large */
      413: {
        headers: {
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Send JSON, with Content-Type: application/json */
      415: {
        headers: {
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Validation Error */
      422: {
        content: {
          "application/json": components["schemas"]["HTTPValidationError"];
        };
      };
      /** @description Too many attempts, try again later */
      429: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Too many sign-ins at once, try again */
      503: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
    };
  };
  /**
   * Sign in
   * @description Sign in with e-mail and password.
   */
  login: {
    requestBody: {
      content: {
        "application/json": components["schemas"]["AuthLoginBody"];
      };
    };
    responses: {
      /** @description Successful Response */
      200: {
        content: {
          "application/json": components["schemas"]["AuthSignedInBody"];
        };
      };
      /** @description Incorrect e-mail or password */
      401: {
        headers: {
          "WWW-Authenticate"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description The body is too large */
      413: {
        headers: {
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Send JSON, with Content-Type: application/json */
      415: {
        headers: {
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Validation Error */
      422: {
        content: {
          "application/json": components["schemas"]["HTTPValidationError"];
        };
      };
      /** @description Too many attempts, try again later */
      429: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Too many sign-ins at once, try again */
      503: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
    };
  };
  /**
   * Sign in or refresh as an OAuth2 client
   * @description Sign in or refresh as an OAuth2 client does (RFC 6749 sections 4.3 and 6).
   *
   * Meant for OAuth2 client libraries and for the Authorize button of the API docs.
   */
  createToken: {
    requestBody: {
      content: {
        "application/x-www-form-urlencoded": {
          /**
           * Grant Type
           * @description May be left out beside a username and a password.
           * @default password
           * @enum {string}
           */
          grant_type?: "password" | "refresh_token";
          /** Username */
          username?: string | null;
          /**
           * Password
           * Format: password
           */
          password?: string | null;
          /** Refresh Token */
          refresh_token?: string | null;
          /** Scope */
          scope?: string | null;
          /** Client Id */
          client_id?: string | null;
          /**
           * Client Secret
           * Format: password
           */
          client_secret?: string | null;
        };
      };
    };
    responses: {
      /** @description Successful Response */
      200: {
        content: {
          "application/json": components["schemas"]["AuthTokenBody"];
        };
      };
      /** @description Refused */
      400: {
        content: {
          "application/json": components["schemas"]["AuthTokenError"];
        };
      };
      /** @description Requests from other web sites are not accepted */
      403: {
        headers: {
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description The body is too large */
      413: {
        headers: {
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Too many attempts, try again later */
      429: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Too many sign-ins at once, try again */
      503: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
    };
  };
  /**
   * Refresh the tokens
   * @description Get a new access token, and the refresh token to use next time.
   *
   * Two requests with one refresh token, at the same moment or after a lost answer, get the
   * same successor.
   */
  refresh: {
    requestBody?: {
      content: {
        "application/json": components["schemas"]["AuthRefreshBody"] | null;
      };
    };
    responses: {
      /** @description Successful Response */
      200: {
        content: {
          "application/json": components["schemas"]["AuthSignedInBody"];
        };
      };
      /** @description Not authenticated */
      401: {
        headers: {
          "WWW-Authenticate"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description The body is too large */
      413: {
        headers: {
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Send JSON, with Content-Type: application/json */
      415: {
        headers: {
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Validation Error */
      422: {
        content: {
          "application/json": components["schemas"]["HTTPValidationError"];
        };
      };
      /** @description The session store is unavailable, try again */
      503: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
    };
  };
  /**
   * Sign out
   * @description End the session of the access token, of the refresh token, or of both.
   *
   * As in RFC 7009 section 2.2, an invalid token is not an error, not even a forged one.
   */
  logout: {
    requestBody?: {
      content: {
        "application/json": components["schemas"]["AuthRefreshBody"] | null;
      };
    };
    responses: {
      /** @description Successful Response */
      204: {
        content: never;
      };
      /** @description Not authenticated */
      401: {
        headers: {
          "WWW-Authenticate"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description The body is too large */
      413: {
        headers: {
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Send JSON, with Content-Type: application/json */
      415: {
        headers: {
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Validation Error */
      422: {
        content: {
          "application/json": components["schemas"]["HTTPValidationError"];
        };
      };
      /** @description The session store is unavailable, try again */
      503: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
    };
  };
  /**
   * Show your account
   * @description Show the caller's account.
   */
  getMe: {
    responses: {
      /** @description Successful Response */
      200: {
        content: {
          "application/json": components["schemas"]["AuthProfile"];
        };
      };
      /** @description Not authenticated */
      401: {
        headers: {
          "WWW-Authenticate"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description The session store is unavailable, try again */
      503: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
    };
  };
  /**
   * Tell who is signed in, if anybody
   * @description Tell who is signed in; nobody is no error, so a page can ask this first.
   *
   * It changes nothing, except that a spent refresh token ends its session. Where the access token
   * is over and the refresh token is not, ``expires_in`` is 0 and ``user`` null until the page has
   * refreshed.
   */
  getSession: {
    responses: {
      /** @description Successful Response */
      200: {
        content: {
          "application/json": components["schemas"]["AuthSessionBody"];
        };
      };
      /** @description The session store is unavailable, try again */
      503: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
    };
  };
  /**
   * Change your password
   * @description Change the caller's password; every other session ends, this one goes on as a new one.
   */
  changePassword: {
    requestBody: {
      content: {
        "application/json": components["schemas"]["AuthPasswordBody"];
      };
    };
    responses: {
      /** @description Successful Response */
      200: {
        content: {
          "application/json": components["schemas"]["AuthSignedInBody"];
        };
      };
      /** @description Not authenticated */
      401: {
        headers: {
          "WWW-Authenticate"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description The body is too large */
      413: {
        headers: {
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Send JSON, with Content-Type: application/json */
      415: {
        headers: {
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Validation Error */
      422: {
        content: {
          "application/json": components["schemas"]["HTTPValidationError"];
        };
      };
      /** @description Too many attempts, try again later */
      429: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Too many sign-ins at once, try again */
      503: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
    };
  };
  /**
   * Sign out everywhere
   * @description End all of the caller's sessions, this one included.
   */
  logoutAll: {
    responses: {
      /** @description Successful Response */
      204: {
        content: never;
      };
      /** @description Not authenticated */
      401: {
        headers: {
          "WWW-Authenticate"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description The session store is unavailable, try again */
      503: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
    };
  };
  /**
   * List your sessions
   * @description List the caller's live sessions, newest first: one for each device signed in.
   *
   * An answer holds at most 100. To get those behind it, repeat the request with the id of its
   * last session as ``after``, until an answer is empty.
   */
  listSessions: {
    parameters: {
      query?: {
        /** @description The id of a session; the list continues behind it. */
        after?: string | null;
      };
    };
    responses: {
      /** @description Successful Response */
      200: {
        content: {
          "application/json": components["schemas"]["AuthSessionInfo"][];
        };
      };
      /** @description Not authenticated */
      401: {
        headers: {
          "WWW-Authenticate"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description There is no such session */
      404: {
        headers: {
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Validation Error */
      422: {
        content: {
          "application/json": components["schemas"]["HTTPValidationError"];
        };
      };
      /** @description The session store is unavailable, try again */
      503: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
    };
  };
  /**
   * End your other sessions
   * @description End all of the caller's sessions but this one.
   */
  endOtherSessions: {
    responses: {
      /** @description Successful Response */
      204: {
        content: never;
      };
      /** @description Not authenticated */
      401: {
        headers: {
          "WWW-Authenticate"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description The session store is unavailable, try again */
      503: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
    };
  };
  /**
   * End one of your sessions
   * @description End one of the caller's sessions, on a lost phone for example.
   */
  endSession: {
    parameters: {
      path: {
        session_id: string;
      };
    };
    responses: {
      /** @description Successful Response */
      204: {
        content: never;
      };
      /** @description Not authenticated */
      401: {
        headers: {
          "WWW-Authenticate"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description There is no such session */
      404: {
        headers: {
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Validation Error */
      422: {
        content: {
          "application/json": components["schemas"]["HTTPValidationError"];
        };
      };
      /** @description The session store is unavailable, try again */
      503: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
    };
  };
  /**
   * List Projects
   * @description List the caller's projects, oldest first.
   */
  list_projects_api_projects_get: {
    responses: {
      /** @description Successful Response */
      200: {
        content: {
          "application/json": components["schemas"]["ProjectView"][];
        };
      };
      /** @description Not authenticated */
      401: {
        headers: {
          "WWW-Authenticate"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description The session store is unavailable, try again */
      503: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
    };
  };
  /**
   * Create Project
   * @description Make a project of the caller's own.
   */
  create_project_api_projects_post: {
    requestBody: {
      content: {
        "application/json": components["schemas"]["ProjectBody"];
      };
    };
    responses: {
      /** @description Successful Response */
      201: {
        content: {
          "application/json": components["schemas"]["ProjectView"];
        };
      };
      /** @description Bad Request */
      400: {
        content: {
          "application/json": components["schemas"]["NoTextBody"];
        };
      };
      /** @description Not authenticated */
      401: {
        headers: {
          "WWW-Authenticate"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Validation Error */
      422: {
        content: {
          "application/json": components["schemas"]["HTTPValidationError"];
        };
      };
      /** @description The session store is unavailable, try again */
      503: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
    };
  };
  /**
   * Get Project
   * @description Show a project.
   */
  get_project_api_projects__project_id__get: {
    parameters: {
      path: {
        project_id: number;
      };
    };
    responses: {
      /** @description Successful Response */
      200: {
        content: {
          "application/json": components["schemas"]["ProjectView"];
        };
      };
      /** @description Not authenticated */
      401: {
        headers: {
          "WWW-Authenticate"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Not Found */
      404: {
        content: {
          "application/json": components["schemas"]["NotFoundBody"];
        };
      };
      /** @description Validation Error */
      422: {
        content: {
          "application/json": components["schemas"]["HTTPValidationError"];
        };
      };
      /** @description The session store is unavailable, try again */
      503: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
    };
  };
  /**
   * Update Project
   * @description Replace the name and the description.
   */
  update_project_api_projects__project_id__put: {
    parameters: {
      path: {
        project_id: number;
      };
    };
    requestBody: {
      content: {
        "application/json": components["schemas"]["ProjectBody"];
      };
    };
    responses: {
      /** @description Successful Response */
      200: {
        content: {
          "application/json": components["schemas"]["ProjectView"];
        };
      };
      /** @description Bad Request */
      400: {
        content: {
          "application/json": components["schemas"]["NoTextBody"];
        };
      };
      /** @description Not authenticated */
      401: {
        headers: {
          "WWW-Authenticate"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Not Found */
      404: {
        content: {
          "application/json": components["schemas"]["NotFoundBody"];
        };
      };
      /** @description Validation Error */
      422: {
        content: {
          "application/json": components["schemas"]["HTTPValidationError"];
        };
      };
      /** @description The session store is unavailable, try again */
      503: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
    };
  };
  /**
   * Delete Project
   * @description Delete a project.
   */
  delete_project_api_projects__project_id__delete: {
    parameters: {
      path: {
        project_id: number;
      };
    };
    responses: {
      /** @description Successful Response */
      204: {
        content: never;
      };
      /** @description Not authenticated */
      401: {
        headers: {
          "WWW-Authenticate"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Not Found */
      404: {
        content: {
          "application/json": components["schemas"]["NotFoundBody"];
        };
      };
      /** @description Validation Error */
      422: {
        content: {
          "application/json": components["schemas"]["HTTPValidationError"];
        };
      };
      /** @description The session store is unavailable, try again */
      503: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
    };
  };
  /**
   * List Tasks
   * @description List the caller's tasks, oldest first.
   */
  list_tasks_api__user_id__tasks_get: {
    parameters: {
      path: {
        user_id: string;
      };
    };
    responses: {
      /** @description Successful Response */
      200: {
        content: {
          "application/json": components["schemas"]["TaskView"][];
        };
      };
      /** @description Not authenticated */
      401: {
        headers: {
          "WWW-Authenticate"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description This belongs to another user */
      403: {
        headers: {
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Validation Error */
      422: {
        content: {
          "application/json": components["schemas"]["HTTPValidationError"];
        };
      };
      /** @description The session store is unavailable, try again */
      503: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
    };
  };
  /**
   * Create Task
   * @description Make a task.
   */
  create_task_api__user_id__tasks_post: {
    parameters: {
      path: {
        user_id: string;
      };
    };
    requestBody: {
      content: {
        "application/json": components["schemas"]["TaskBody"];
      };
    };
    responses: {
      /** @description Successful Response */
      201: {
        content: {
          "application/json": components["schemas"]["TaskView"];
        };
      };
      /** @description Bad Request */
      400: {
        content: {
          "application/json": components["schemas"]["NoTextBody"];
        };
      };
      /** @description Not authenticated */
      401: {
        headers: {
          "WWW-Authenticate"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description This belongs to another user */
      403: {
        headers: {
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Validation Error */
      422: {
        content: {
          "application/json": components["schemas"]["HTTPValidationError"];
        };
      };
      /** @description The session store is unavailable, try again */
      503: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
    };
  };
  /**
   * Get Task
   * @description Show a task.
   */
  get_task_api__user_id__tasks__task_id__get: {
    parameters: {
      path: {
        user_id: string;
        task_id: number;
      };
    };
    responses: {
      /** @description Successful Response */
      200: {
        content: {
          "application/json": components["schemas"]["TaskView"];
        };
      };
      /** @description Not authenticated */
      401: {
        headers: {
          "WWW-Authenticate"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description This belongs to another user */
      403: {
        headers: {
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Not Found */
      404: {
        content: {
          "application/json": components["schemas"]["NotFoundBody"];
        };
      };
      /** @description Validation Error */
      422: {
        content: {
          "application/json": components["schemas"]["HTTPValidationError"];
        };
      };
      /** @description The session store is unavailable, try again */
      503: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
    };
  };
  /**
   * Delete Task
   * @description Delete a task.
   */
  delete_task_api__user_id__tasks__task_id__delete: {
    parameters: {
      path: {
        user_id: string;
        task_id: number;
      };
    };
    responses: {
      /** @description Successful Response */
      204: {
        content: never;
      };
      /** @description Not authenticated */
      401: {
        headers: {
          "WWW-Authenticate"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description This belongs to another user */
      403: {
        headers: {
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Not Found */
      404: {
        content: {
          "application/json": components["schemas"]["NotFoundBody"];
        };
      };
      /** @description Validation Error */
      422: {
        content: {
          "application/json": components["schemas"]["HTTPValidationError"];
        };
      };
      /** @description The session store is unavailable, try again */
      503: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
    };
  };
  /**
   * Complete Task
   * @description Mark a task as done; done twice, it stays done.
   */
  complete_task_api__user_id__tasks__task_id__complete_patch: {
    parameters: {
      path: {
        user_id: string;
        task_id: number;
      };
    };
    responses: {
      /** @description Successful Response */
      200: {
        content: {
          "application/json": components["schemas"]["TaskView"];
        };
      };
      /** @description Not authenticated */
      401: {
        headers: {
          "WWW-Authenticate"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description This belongs to another user */
      403: {
        headers: {
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Not Found */
      404: {
        content: {
          "application/json": components["schemas"]["NotFoundBody"];
        };
      };
      /** @description Validation Error */
      422: {
        content: {
          "application/json": components["schemas"]["HTTPValidationError"];
        };
      };
      /** @description The session store is unavailable, try again */
      503: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
    };
  };
  /**
   * List Users
   * @description List all users, oldest first.
   */
  list_users_api_admin_users_get: {
    responses: {
      /** @description Successful Response */
      200: {
        content: {
          "application/json": components["schemas"]["Account"][];
        };
      };
      /** @description Not authenticated */
      401: {
        headers: {
          "WWW-Authenticate"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Your role does not allow this */
      403: {
        headers: {
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description The session store is unavailable, try again */
      503: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
    };
  };
  /**
   * Change Role
   * @description Make a user an administrator, or an administrator a user.
   */
  change_role_api_admin_users__user_id__patch: {
    parameters: {
      path: {
        user_id: string;
      };
    };
    requestBody: {
      content: {
        "application/json": components["schemas"]["RoleBody"];
      };
    };
    responses: {
      /** @description Successful Response */
      204: {
        content: never;
      };
      /** @description Bad Request */
      400: {
        content: {
          "application/json": components["schemas"]["NoTextBody"];
        };
      };
      /** @description Not authenticated */
      401: {
        headers: {
          "WWW-Authenticate"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Your role does not allow this */
      403: {
        headers: {
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Not Found */
      404: {
        content: {
          "application/json": components["schemas"]["NotFoundBody"];
        };
      };
      /** @description Validation Error */
      422: {
        content: {
          "application/json": components["schemas"]["HTTPValidationError"];
        };
      };
      /** @description The session store is unavailable, try again */
      503: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
    };
  };
  /**
   * Disable User
   * @description Lock an account and end its sessions.
   */
  disable_user_api_admin_users__user_id__disable_post: {
    parameters: {
      path: {
        user_id: string;
      };
    };
    responses: {
      /** @description Successful Response */
      204: {
        content: never;
      };
      /** @description Not authenticated */
      401: {
        headers: {
          "WWW-Authenticate"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Your role does not allow this */
      403: {
        headers: {
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Not Found */
      404: {
        content: {
          "application/json": components["schemas"]["NotFoundBody"];
        };
      };
      /** @description Validation Error */
      422: {
        content: {
          "application/json": components["schemas"]["HTTPValidationError"];
        };
      };
      /** @description The session store is unavailable, try again */
      503: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
    };
  };
  /**
   * Enable User
   * @description Let a user sign in again.
   */
  enable_user_api_admin_users__user_id__enable_post: {
    parameters: {
      path: {
        user_id: string;
      };
    };
    responses: {
      /** @description Successful Response */
      204: {
        content: never;
      };
      /** @description Not authenticated */
      401: {
        headers: {
          "WWW-Authenticate"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Your role does not allow this */
      403: {
        headers: {
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
      /** @description Not Found */
      404: {
        content: {
          "application/json": components["schemas"]["NotFoundBody"];
        };
      };
      /** @description Validation Error */
      422: {
        content: {
          "application/json": components["schemas"]["HTTPValidationError"];
        };
      };
      /** @description The session store is unavailable, try again */
      503: {
        headers: {
          "Retry-After"?: string;
        };
        content: {
          "application/json": components["schemas"]["AuthErrorBody"];
        };
      };
    };
  };
  /**
   * Health
   * @description Answer that the application runs.
   */
  health_health_get: {
    responses: {
      /** @description Successful Response */
      200: {
        content: {
          "application/json": components["schemas"]["Health"];
        };
      };
    };
  };
}
