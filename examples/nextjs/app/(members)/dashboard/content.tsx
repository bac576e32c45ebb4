"use client";

import { useState } from "react";
import { PageTitle } from "@/components/page-title";
import { Action } from "@/components/ui/action";
import { Button } from "@/components/ui/button";
import { Card, CardHeader } from "@/components/ui/card";
import { Field } from "@/components/ui/field";
import { Form } from "@/components/ui/form";
import { Loading, LoadingFailed } from "@/components/ui/loading";
import { useLoad } from "@/hooks/useLoad";
import { get, type Project, post, put, remove } from "@/lib/api";

const loadProjects = () => get("/api/projects");

export function Projects() {
  const { data: projects, error, reload } = useLoad(loadProjects);

  async function create({ name = "", description = "" }: Record<string, string>) {
    await post("/api/projects", { name, description });
    await reload();
  }

  return (
    <>
      <PageTitle title="Projects" text="What you work on. Nobody else sees it." />
      <div className="grid items-start gap-6 md:grid-cols-[1fr_19rem]">
        <div className="order-last space-y-3 md:order-none">
          {error && <LoadingFailed error={error} retry={reload} />}
          {!projects && !error && <Loading />}
          {projects?.length === 0 && (
            <p className="rounded-2xl border border-dashed p-10 text-center text-muted-foreground">
              No project yet. Begin with a name.
            </p>
          )}
          <ul className="space-y-3">
            {projects?.map((project) => (
              <ProjectItem key={project.id} project={project} onChange={reload} />
            ))}
          </ul>
        </div>
        <Card>
          <CardHeader title="New project" />
          <Form submit="Create project" onSubmit={create}>
            <ProjectFields />
          </Form>
        </Card>
      </div>
    </>
  );
}

function ProjectItem({ project, onChange }: { project: Project; onChange: () => Promise<void> }) {
  const [isEdited, setEdited] = useState(false);
  const ids = { project_id: project.id };

  async function update({ name = "", description = "" }: Record<string, string>) {
    await put("/api/projects/{project_id}", { name, description }, ids);
    await onChange();
    setEdited(false);
  }

  async function removeProject() {
    await remove("/api/projects/{project_id}", ids);
    await onChange();
  }

  return (
    <li className="rounded-2xl border bg-card p-5 shadow-xs">
      <div className="flex flex-wrap items-center justify-between gap-x-4 gap-y-2">
        <h2 className="wrap-anywhere min-w-0 font-semibold">{project.name}</h2>
        <div className="-mr-2 flex">
          <Button
            variant="ghost"
            size="small"
            aria-expanded={isEdited}
            aria-label={`Edit ${project.name}`}
            onClick={() => setEdited(!isEdited)}
          >
            {isEdited ? "Cancel" : "Edit"}
          </Button>
          <Action
            variant="destructive"
            size="small"
            aria-label={`Delete ${project.name}`}
            action={removeProject}
            confirm={{ title: "Delete project?", text: `“${project.name}” will be gone for good.` }}
          >
            Delete
          </Action>
        </div>
      </div>
      {isEdited ? (
        <Form submit="Save" onSubmit={update} className="mt-4 space-y-4">
          <ProjectFields project={project} />
        </Form>
      ) : (
        <p className="wrap-anywhere text-muted-foreground text-sm">{project.description}</p>
      )}
    </li>
  );
}

function ProjectFields({ project }: { project?: Project }) {
  return (
    <>
      <Field name="name" label="Name" defaultValue={project?.name} maxLength={100} required />
      <Field
        name="description"
        label="Description (optional)"
        defaultValue={project?.description}
        maxLength={2000}
      />
    </>
  );
}
