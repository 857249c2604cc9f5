// A script of its own brings it, before the modules.
import type { Htmx } from "htmx.org";

declare module "htmx.org" {
  interface HtmxRequestCtx {
    hx?: { generation?: string };
  }
}

declare global {
  const htmx: Htmx;
  interface DocumentEventMap {
    active: CustomEvent<{ data: string }>;
  }
}
