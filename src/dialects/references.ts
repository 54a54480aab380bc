/**
 * What a request refers to instead of holding it: links that the gateway has to fetch, and objects in S3 that Bedrock
 * reads itself.
 *
 * A dialect only notes them. Whether links are fetched, and which buckets may be read, is not its business: Bedrock reads
 * S3 with the gateway's own rights, which a client must not borrow unasked.
 */
import type { ImageBlock } from "../bedrock/converse.ts";
import type { RemoteImage, StoredObject } from "./dialect.ts";
import type { Field } from "./fields.ts";

export class References {
  readonly images: RemoteImage[] = [];
  readonly objects: StoredObject[] = [];

  /** A link as the image that it will be. Until then the block is empty. */
  link(field: Field, url: string): ImageBlock {
    const image: ImageBlock = { format: "png", source: { bytes: "" } };
    this.images.push({ url, param: field.path, place: (fetched) => void Object.assign(image, fetched) });
    return image;
  }

  object(field: Field, uri: string): void {
    this.objects.push({ uri, param: field.path });
  }
}
