"use client";

import { PageTitle } from "@/components/page-title";
import { Action } from "@/components/ui/action";
import { Card } from "@/components/ui/card";
import { Field } from "@/components/ui/field";
import { Form } from "@/components/ui/form";
import { Load } from "@/components/ui/load";
import { get, type Project, type ProjectBody, post, remove } from "@/lib/api";

const loadProjects = () => get("/api/projects");
const createProject = (project: ProjectBody) => post("/api/projects", project);

export function Projects() {
  return (
    <>
      <PageTitle title="Projects" text="What you work on. Nobody else sees it." />
      <Load from={loadProjects}>
        {(projects) => (
          <div className="grid items-start gap-6 md:grid-cols-[1fr_19rem]">
            <ul className="space-y-3">
              {projects.map((project) => (
                <ProjectItem key={project.id} project={project} />
              ))}
              {projects.length === 0 && (
                <li className="rounded-2xl border border-dashed p-10 text-center text-muted-foreground">
                  No project yet. Begin with a name.
                </li>
              )}
            </ul>
            <Card title="New project" className="max-md:order-first">
              <Form submit="Create project" onSubmit={createProject}>
                <Field name="name" label="Name" maxLength={100} required />
                <Field name="description" label="Description (optional)" maxLength={2000} />
              </Form>
            </Card>
          </div>
        )}
      </Load>
    </>
  );
}

function ProjectItem({ project: { id, name, description } }: { project: Project }) {
  return (
    <li className="flex items-start gap-4 rounded-2xl border bg-card p-5 shadow-xs">
      <div className="wrap-anywhere min-w-0 grow">
        <h2 className="font-semibold">{name}</h2>
        <p className="mt-1 text-muted-foreground text-sm">{description}</p>
      </div>
      <Action
        label="Delete"
        subject={name}
        variant="destructive"
        className="-mt-1.5 -mr-2"
        confirm={{ title: "Delete project?", text: `“${name}” will be gone for good.` }}
        action={() => remove("/api/projects/{project_id}", { ids: { project_id: id } })}
      />
    </li>
  );
}
